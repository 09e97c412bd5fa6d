#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

// Operators that make a value of the one or two values in the same place. An invocation makes a quad; `extra0` are the quads.
layout(local_size_x = 64) in;
layout(constant_id = 0) const int OPERATOR = 0;
layout(constant_id = 1) const int TYPE0 = I8;
layout(constant_id = 2) const int TYPE1 = I8;
layout(constant_id = 3) const int TYPE_OUT = I8;

// As `src/kernel.rs` numbers them.
const int CONVERT = 0;
const int ADD = 1;
const int MUL = 2;
const int AFFINE = 3;
const int PRELU = 4;
const int TABLE = 5;

void main() {
    int index = int(gl_WorkGroupID.y * gl_NumWorkGroups.x * gl_WorkGroupSize.x + gl_GlobalInvocationID.x);
    if (index >= push.extra0) {
        return;
    }
    int plane = push.width * push.height;
    int quad = index / plane;
    int at = index % plane;
    ivec4 stored = load_quad(push.in0, TYPE0, plane, quad, at);
    if (OPERATOR == TABLE) {
        // What is stored for each stored value, from the smallest on.
        ivec4 from = push.numbers + stored + (TYPE0 == I8 ? 128 : 32768);
        ivec4 values = ivec4(constants[from.x], constants[from.y], constants[from.z], constants[from.w]);
        store_quad(push.out0, TYPE_OUT, plane, quad, at, values);
        return;
    }
    vec4 x = vec4(stored - push.zero0);
    vec4 result;
    if (OPERATOR == CONVERT) {
        precise vec4 scaled = x * push.factor0;
        result = scaled;
    } else if (OPERATOR == AFFINE) {
        precise vec4 scaled = x * intBitsToFloat(constants4[push.numbers + 2 * quad]);
        precise vec4 shifted = scaled + intBitsToFloat(constants4[push.numbers + 2 * quad + 1]);
        result = shifted;
    } else if (OPERATOR == PRELU) {
        vec4 negative = intBitsToFloat(constants4[push.numbers + quad]);
        precise vec4 scaled = x * mix(negative, vec4(push.factor0), greaterThan(x, vec4(0.0)));
        result = scaled;
    } else {
        vec4 y = vec4(load_quad(push.in1, TYPE1, plane, quad, at) - push.zero1);
        if (OPERATOR == ADD) {
            precise vec4 a = x * push.factor0;
            precise vec4 b = y * push.factor1;
            precise vec4 both = a + b;
            result = both;
        } else {
            precise vec4 product = x * y;
            precise vec4 scaled = product * push.factor0;
            result = scaled;
        }
    }
    store_quad(push.out0, TYPE_OUT, plane, quad, at, round_clamp(result, push.low, push.high) + push.zero_out);
}
