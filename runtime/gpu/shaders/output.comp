#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// The network's output as bytes [height, width, channels], without the first `extra0` rows and columns. An invocation makes four
// pixels that follow each other, which are whole words.
layout(local_size_x = 64) in;
layout(constant_id = 0) const int CHANNELS = 3;

void main() {
    int first = 4 * int(gl_WorkGroupID.y * gl_NumWorkGroups.x * gl_WorkGroupSize.x + gl_GlobalInvocationID.x);
    int pixels = push.width * push.height;
    if (first >= pixels) {
        return;
    }
    uint words[CHANNELS];
    [[unroll]] for (int c = 0; c < CHANNELS; c++) {
        words[c] = 0u;
    }
    [[unroll]] for (int k = 0; k < 4; k++) {
        int at = min(first + k, pixels - 1);
        int from = (at / push.width + push.extra0) * push.in_width + at % push.width + push.extra0;
        uint word = uint(arena[push.in0 + from]) ^ 0x80808080u;
        [[unroll]] for (int c = 0; c < CHANNELS; c++) {
            int byte = CHANNELS * k + c;
            words[byte / 4] |= bitfieldExtract(word, 8 * c, 8) << (8 * (byte % 4));
        }
    }
    [[unroll]] for (int c = 0; c < CHANNELS; c++) {
        image_out[first / 4 * CHANNELS + c] = words[c];
    }
}
