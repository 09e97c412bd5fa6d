#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// The end of a real-time network: the bilinearly interpolated image, the correction added to it, and the correction's pixel
// shuffle. `in0` is the correction with channels in the order (dy, dx, c), `in1` the image; `extra0` is where the phases of the
// interpolation begin in `constants`, each the first tap and two weights; `low1`, `high1` and `factor2` are the interpolated
// image's.
//
// With DIRECT an invocation makes four pixels of the output image that follow each other, otherwise one quad.
layout(local_size_x = 64) in;
layout(constant_id = 0) const int CHANNELS = 3;
layout(constant_id = 1) const int UPSCALE = 4;
layout(constant_id = 2) const int CORRECTION = I16;
layout(constant_id = 3) const int DIRECT = 1;

ivec4 pixel(int y, int x) {
    int low_y = y / UPSCALE;
    int low_x = x / UPSCALE;
    int dy = y % UPSCALE;
    int dx = x % UPSCALE;
    ivec3 down = ivec3(constants[push.extra0 + 3 * dy], constants[push.extra0 + 3 * dy + 1], constants[push.extra0 + 3 * dy + 2]);
    ivec3 along = ivec3(constants[push.extra0 + 3 * dx], constants[push.extra0 + 3 * dx + 1], constants[push.extra0 + 3 * dx + 2]);
    int top = clamp(low_y + down.x, 0, push.in_height - 1) * push.in_width;
    int bottom = clamp(low_y + down.x + 1, 0, push.in_height - 1) * push.in_width;
    int left = clamp(low_x + along.x, 0, push.in_width - 1);
    int right = clamp(low_x + along.x + 1, 0, push.in_width - 1);
    // Whole numbers: a value times both weights, of which all together are 4 * UPSCALE^2.
    ivec4 sum = bytes_of(arena[push.in1 + top + left]) * (down.y * along.y)
        + bytes_of(arena[push.in1 + top + right]) * (down.y * along.z)
        + bytes_of(arena[push.in1 + bottom + left]) * (down.z * along.y)
        + bytes_of(arena[push.in1 + bottom + right]) * (down.z * along.z)
        - push.zero1 * (4 * UPSCALE * UPSCALE);
    precise vec4 scaled = vec4(sum) * push.factor2;
    vec4 image = vec4(round_clamp(scaled, push.low1, push.high1));
    ivec4 stored = ivec4(push.zero0);
    int plane = push.in_width * push.in_height;
    int at = low_y * push.in_width + low_x;
    [[unroll]] for (int c = 0; c < CHANNELS; c++) {
        stored[c] = load_value(push.in0, CORRECTION, plane, (dy * UPSCALE + dx) * CHANNELS + c, at);
    }
    precise vec4 correction = vec4(stored - push.zero0) * push.factor0;
    precise vec4 base = image * push.factor1;
    precise vec4 both = correction + base;
    return round_clamp(both, push.low, push.high) + push.zero_out;
}

void main() {
    int index = int(gl_WorkGroupID.y * gl_NumWorkGroups.x * gl_WorkGroupSize.x + gl_GlobalInvocationID.x);
    int pixels = push.width * push.height;
    if (DIRECT == 0) {
        if (index < pixels) {
            arena[push.out0 + index] = bytes_to(pixel(index / push.width, index % push.width));
        }
        return;
    }
    int first = 4 * index;
    if (first >= pixels) {
        return;
    }
    uint words[CHANNELS];
    [[unroll]] for (int c = 0; c < CHANNELS; c++) {
        words[c] = 0u;
    }
    [[unroll]] for (int k = 0; k < 4; k++) {
        int at = min(first + k, pixels - 1);
        uint word = uint(bytes_to(pixel(at / push.width, at % push.width))) ^ 0x80808080u;
        [[unroll]] for (int c = 0; c < CHANNELS; c++) {
            int byte = CHANNELS * k + c;
            words[byte / 4] |= bitfieldExtract(word, 8 * c, 8) << (8 * (byte % 4));
        }
    }
    [[unroll]] for (int c = 0; c < CHANNELS; c++) {
        image_out[first / 4 * CHANNELS + c] = words[c];
    }
}
