#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "dot.glsl"

// What the bits depend on, tried on numbers that show the difference: invocation i reads six words of the constants and writes four
// words of the output. `src/probe.rs` knows what they must be.
layout(local_size_x = 64) in;

void main() {
    int index = int(gl_GlobalInvocationID.x);
    if (index >= push.extra0) {
        return;
    }
    int at = 6 * index;
    vec4 values = vec4(float(constants[at]), float(constants[at + 1]), 0.0, 0.0);
    vec4 factors = intBitsToFloat(ivec4(constants[at + 2], constants[at + 3], 0, 0));
    // Rounding to an integer, half to even.
    precise vec4 scaled = values * factors;
    ivec4 rounded = round_clamp(scaled, -32767.0, 32767.0);
    // Two products and their sum, each rounded: with a fused multiplication the sum has other bits.
    precise float a = values.x * factors.x;
    precise float b = values.y * factors.y;
    precise float both = a + b;
    image_out[4 * index] = uint(rounded.x);
    image_out[4 * index + 1] = uint(rounded.y);
    image_out[4 * index + 2] = floatBitsToUint(both);
    // Products of four bytes with their signs, as convolutions have them.
#ifdef DOT
    int quad = constants[at + 4];
#else
    ivec4 quad = bytes_of(constants[at + 4]);
#endif
    image_out[4 * index + 3] = uint(products(quad, ivec4(0, 0, constants[at + 5], 0)).z);
}
