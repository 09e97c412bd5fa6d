// What all kernels share: where things lie, and how values are read, rounded and stored.
//
// An edge of 8 bits is planes of words [channels / 4][height][width], four channels of a pixel in a word. One of 16 bits has two
// planes for every four channels, of two channels each. Numbers are stored as on the CPU, zero point included; a word of four
// channels is called a quad.
#extension GL_EXT_spirv_intrinsics : require
#extension GL_EXT_control_flow_attributes : require

// Floats round to nearest, half to even: SPIR-V leaves that to the driver unless a module asks for it
// (capability RoundingModeRTE, execution mode RoundingModeRTE for 32 bits).
spirv_execution_mode(extensions = ["SPV_KHR_float_controls"], capabilities = [4467], 4462, 32);

layout(set = 0, binding = 0, std430) readonly buffer Constants4 { ivec4 constants4[]; };
layout(set = 0, binding = 0, std430) readonly buffer Constants1 { int constants[]; };
layout(set = 0, binding = 1, std430) buffer Arena { int arena[]; };
layout(set = 0, binding = 2, std430) readonly buffer Input { uint image_in[]; };
layout(set = 0, binding = 3, std430) writeonly buffer Output { uint image_out[]; };

// `src/kernel.rs` has the same fields in the same order.
layout(push_constant) uniform Push {
    // Words of the arena where edges begin: two that are read, two that are written.
    int in0;
    int in1;
    int out0;
    int out1;
    // Where weights and numbers of channels begin, in units of four words of `constants`.
    int weights;
    int numbers;
    // Of the first edge read, and of what is computed.
    int in_width;
    int in_height;
    int width;
    int height;
    // Stored values that stand for zero: of the edges read, and of those written.
    int zero0;
    int zero1;
    int zero_out;
    int zero_out1;
    // What values are clamped to, without the zero point.
    float low;
    float high;
    float low1;
    float high1;
    float factor0;
    float factor1;
    float factor2;
    // Of operators with something more: rows and columns that are cropped, and the like.
    int extra0;
    int extra1;
    int extra2;
} push;

// 1.5 * 2^23: what is added to it is rounded to an integer, which stands in the low bits of the sum.
const float MAGIC = 12582912.0;

// round_half_even(clamp(x, low, high)).
ivec4 round_clamp(vec4 x, float low, float high) {
    precise vec4 shifted = min(max(x, vec4(low)), vec4(high)) + MAGIC;
    return floatBitsToInt(shifted) - floatBitsToInt(MAGIC);
}

int bytes_to(ivec4 v) {
    return (v.x & 0xff) | ((v.y & 0xff) << 8) | ((v.z & 0xff) << 16) | (v.w << 24);
}

ivec4 bytes_of(int word) {
    return ivec4(bitfieldExtract(word, 0, 8), bitfieldExtract(word, 8, 8), bitfieldExtract(word, 16, 8), word >> 24);
}

ivec2 shorts_to(ivec4 v) {
    return ivec2((v.x & 0xffff) | (v.y << 16), (v.z & 0xffff) | (v.w << 16));
}

ivec4 shorts_of(ivec2 words) {
    return ivec4(bitfieldExtract(words.x, 0, 16), words.x >> 16, bitfieldExtract(words.y, 0, 16), words.y >> 16);
}

// Element types of edges, as `src/kernel.rs` numbers them.
const int I8 = 1;
const int I16 = 2;

// The stored values of quad `quad` at pixel `at` of a plane of `plane` pixels.
ivec4 load_quad(int base, int type, int plane, int quad, int at) {
    if (type == I8) {
        return bytes_of(arena[base + quad * plane + at]);
    }
    int first = base + 2 * quad * plane + at;
    return shorts_of(ivec2(arena[first], arena[first + plane]));
}

void store_quad(int base, int type, int plane, int quad, int at, ivec4 values) {
    if (type == I8) {
        arena[base + quad * plane + at] = bytes_to(values);
    } else {
        int first = base + 2 * quad * plane + at;
        ivec2 words = shorts_to(values);
        arena[first] = words.x;
        arena[first + plane] = words.y;
    }
}

// One stored value.
int load_value(int base, int type, int plane, int channel, int at) {
    if (type == I8) {
        return bitfieldExtract(arena[base + channel / 4 * plane + at], 8 * (channel % 4), 8);
    }
    return bitfieldExtract(arena[base + channel / 2 * plane + at], 16 * (channel % 2), 16);
}
