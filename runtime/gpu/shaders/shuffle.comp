#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// Depth to space. An invocation makes a quad of the output; `extra0` are the quads.
layout(local_size_x = 64) in;
layout(constant_id = 0) const int TYPE = I8;
layout(constant_id = 1) const int UPSCALE = 2;
layout(constant_id = 2) const int CHANNELS = 3;
// Whether the channels stand in the order (dy, dx, c) instead of (c, dy, dx).
layout(constant_id = 3) const int ROWS = 0;

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
    int phase = y % UPSCALE * UPSCALE + x % UPSCALE;
    int from = y / UPSCALE * push.in_width + x / UPSCALE;
    int from_plane = push.in_width * push.in_height;
    ivec4 values = ivec4(0);
    [[unroll]] for (int j = 0; j < 4; j++) {
        int c = 4 * quad + j;
        if (c < CHANNELS) {
            int channel = ROWS != 0 ? phase * CHANNELS + c : c * UPSCALE * UPSCALE + phase;
            values[j] = load_value(push.in0, TYPE, from_plane, channel, from);
        }
    }
    store_quad(push.out0, TYPE, plane, quad, at, values);
}
