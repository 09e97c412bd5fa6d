#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// The image's bytes [height, width, channels] as a quad for each pixel, extended: by `extra0` pixels on every side that repeat the
// edge, and up to the width and height of the network by reflection.
layout(local_size_x = 64) in;
layout(constant_id = 0) const int CHANNELS = 3;

int extended(int at, int margin, int size) {
    int whole = size + 2 * margin;
    if (at >= whole) {
        // The edge itself is not repeated; a single pixel is all that there is.
        int period = max(2 * (whole - 1), 1);
        at = at % period;
        at = min(at, period - at);
        at = whole == 1 ? 0 : at;
    }
    return clamp(at - margin, 0, size - 1);
}

void main() {
    int x = int(gl_GlobalInvocationID.x);
    int y = int(gl_GlobalInvocationID.y);
    if (x >= push.width) {
        return;
    }
    int from = extended(y, push.extra0, push.in_height) * push.in_width + extended(x, push.extra0, push.in_width);
    int word = 0;
    [[unroll]] for (int c = 0; c < CHANNELS; c++) {
        int at = from * CHANNELS + c;
        uint value = bitfieldExtract(image_in[at / 4], 8 * (at % 4), 8) ^ 0x80u;
        word |= int(value) << (8 * c);
    }
    arena[push.out0 + y * push.width + x] = word;
}
