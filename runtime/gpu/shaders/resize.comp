#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// Interpolation by a whole factor, or to a whole fraction of the size: down the columns first, then along the rows, in the CPU's order. An invocation makes a quad of
// the output; `extra0` are the quads, `extra1` is where the phases begin in `constants`: each the first tap and four weights.
layout(local_size_x = 64) in;
layout(constant_id = 0) const int TYPE0 = I8;
layout(constant_id = 1) const int TYPE_OUT = I8;
layout(constant_id = 2) const int UPSCALE = 2;
layout(constant_id = 3) const int TAPS = 2;
// Rows that become one, and columns; with an UPSCALE of 1.
layout(constant_id = 4) const int REDUCED = 1;

void main() {
    int index = int(gl_WorkGroupID.y * gl_NumWorkGroups.x * gl_WorkGroupSize.x + gl_GlobalInvocationID.x);
    if (index >= push.extra0) {
        return;
    }
    int plane = push.width * push.height;
    int quad = index / plane;
    int at = index % plane;
    int y = at / push.width;
    int x = at % push.width;
    int down = push.extra1 + 5 * (y % UPSCALE);
    int along = push.extra1 + 5 * (x % UPSCALE);
    int from_plane = push.in_width * push.in_height;
    precise vec4 row = vec4(0.0);
    for (int t = 0; t < TAPS; t++) {
        int column_at = clamp(x / UPSCALE * REDUCED + constants[along] + t, 0, push.in_width - 1);
        precise vec4 column = vec4(0.0);
        for (int s = 0; s < TAPS; s++) {
            int row_at = clamp(y / UPSCALE * REDUCED + constants[down] + s, 0, push.in_height - 1);
            ivec4 stored = load_quad(push.in0, TYPE0, from_plane, quad, row_at * push.in_width + column_at);
            precise vec4 part = vec4(stored - push.zero0) * intBitsToFloat(constants[down + 1 + s]);
            column = column + part;
        }
        precise vec4 part = column * intBitsToFloat(constants[along + 1 + t]);
        row = row + part;
    }
    precise vec4 scaled = row * push.factor0;
    store_quad(push.out0, TYPE_OUT, plane, quad, at, round_clamp(scaled, push.low, push.high) + push.zero_out);
}
