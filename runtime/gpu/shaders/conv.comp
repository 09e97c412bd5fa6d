#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "dot.glsl"

// A convolution with zero padding, and what is done with its sums: rounded to 8 or 16 bits, perhaps a residual sum and a copy in
// 8 bits, perhaps stored where a pixel shuffle would put them.
//
// A workgroup makes LANES columns of GROUPS * ROWS rows of BLOCKS * 8 channels, an invocation ROWS pixels below each other of 8
// channels. Neighbours make neighbouring columns of the same channels: what they read of the tile in shared memory lies in
// different banks, and the weights are the same for all of them. The tile holds STAGE quads of the input at a time.
layout(local_size_x_id = 0, local_size_y_id = 1, local_size_z_id = 2) in;
layout(constant_id = 3) const int LANES = 32;
layout(constant_id = 4) const int GROUPS = 2;
layout(constant_id = 5) const int BLOCKS = 2;
layout(constant_id = 6) const int KERNEL = 3;
layout(constant_id = 7) const int QUADS = 4;
layout(constant_id = 8) const int STAGE = 4;
layout(constant_id = 9) const int OUT_QUADS = 4;
// Of the edge that is written.
layout(constant_id = 10) const int TYPE_OUT = I8;
// Whether the edge is stored, has a residual sum, a copy in 8 bits.
layout(constant_id = 11) const int STORED = 1;
layout(constant_id = 12) const int RESIDUAL = 0;
layout(constant_id = 13) const int NARROW = 0;
// Factor of the pixel shuffle, 1 for none, and its quads.
layout(constant_id = 14) const int SHUFFLE = 1;
layout(constant_id = 15) const int SHUFFLED_QUADS = 1;
// Whether sums may reach 2^24.
layout(constant_id = 16) const int WIDE = 0;

const int ROWS = 4;
const int TILE_WIDTH = LANES + KERNEL - 1;
const int TILE_HEIGHT = GROUPS * ROWS + KERNEL - 1;
const int TILE = TILE_WIDTH * TILE_HEIGHT;
shared int tile[STAGE * TILE * WORDS];

// A quad of the tile, as `products` takes it.
Quad quad_at(int at) {
#ifdef INPUT16
    return shorts_of(ivec2(tile[at], tile[STAGE * TILE + at]));
#elif defined(DOT)
    return tile[at];
#else
    return bytes_of(tile[at]);
#endif
}

// Sums as floats, rounded half to even.
vec4 to_float(ivec4 sums) {
    if (WIDE == 0) {
        return vec4(sums);
    }
    // What is beyond 24 bits is rounded here: the rounding of conversions is not every driver's.
    vec4 result;
    [[unroll]] for (int j = 0; j < 4; j++) {
        uint magnitude = uint(abs(sums[j]));
        int shift = max(findMSB(magnitude) - 23, 0);
        uint kept = magnitude >> shift;
        uint rest = magnitude & ((1u << shift) - 1u);
        uint half_step = (1u << shift) >> 1;
        kept += uint(shift > 0 && (rest > half_step || rest == half_step && (kept & 1u) == 1u));
        float value = float(kept) * float(1u << shift);
        result[j] = sums[j] < 0 ? -value : value;
    }
    return result;
}

void finish(ivec4 sums, int quad, int y, int x) {
    vec4 multipliers = intBitsToFloat(constants4[push.numbers + 2 * quad + 1]);
    precise vec4 scaled = to_float(sums) * multipliers;
    ivec4 values = round_clamp(scaled, push.low, push.high);
    int plane = push.width * push.height;
    int at = y * push.width + x;
    if (RESIDUAL != 0) {
        vec4 residual = vec4(load_quad(push.in1, I16, plane, quad, at));
        precise vec4 mine = vec4(values) * push.factor0;
        precise vec4 theirs = residual * push.factor1;
        precise vec4 both = mine + theirs;
        values = round_clamp(both, -32767.0, 32767.0);
    }
    if (NARROW != 0) {
        precise vec4 narrow = vec4(values) * push.factor2;
        store_quad(push.out1, I8, plane, quad, at, round_clamp(narrow, push.low1, push.high1) + push.zero_out1);
    }
    if (STORED == 0) {
        return;
    }
    if (SHUFFLE > 1) {
        int phase = quad / SHUFFLED_QUADS;
        int to_y = y * SHUFFLE + phase / SHUFFLE;
        int to_x = x * SHUFFLE + phase % SHUFFLE;
        plane *= SHUFFLE * SHUFFLE;
        at = to_y * (push.width * SHUFFLE) + to_x;
        quad = quad % SHUFFLED_QUADS;
    }
    store_quad(push.out0, TYPE_OUT, plane, quad, at, values + push.zero_out);
}

void main() {
    int column = int(gl_LocalInvocationID.x);
    int group = int(gl_LocalInvocationID.y);
    int block = int(gl_WorkGroupID.z) * BLOCKS + int(gl_LocalInvocationID.z);
    int left = int(gl_WorkGroupID.x) * LANES;
    int top = int(gl_WorkGroupID.y) * GROUPS * ROWS;
    int plane = push.width * push.height;
    ivec4 sums[ROWS][2];
    [[unroll]] for (int p = 0; p < ROWS; p++) {
        [[unroll]] for (int q = 0; q < 2; q++) {
            sums[p][q] = constants4[push.numbers + 2 * (2 * block + q)];
        }
    }
    for (int first = 0; first < QUADS; first += STAGE) {
        if (first > 0) {
            barrier();
        }
        for (int i = int(gl_LocalInvocationIndex); i < STAGE * TILE; i += LANES * GROUPS * BLOCKS) {
            int quad = first + i / TILE;
            int y = top + i % TILE / TILE_WIDTH - KERNEL / 2;
            int x = left + i % TILE_WIDTH - KERNEL / 2;
            bool inside = quad < QUADS && y >= 0 && y < push.height && x >= 0 && x < push.width;
            int at = y * push.width + x;
            [[unroll]] for (int w = 0; w < WORDS; w++) {
                int value = push.zero0;
                if (inside) {
                    value = arena[push.in0 + (WORDS * quad + w) * plane + at];
                }
                tile[w * (STAGE * TILE) + i] = value;
            }
        }
        barrier();
        for (int c = 0; c < STAGE && first + c < QUADS; c++) {
            int weights = push.weights + (block * QUADS + first + c) * (KERNEL * KERNEL * 2);
            // A loop that stays one: the code of large kernels would not fit the instruction cache.
            [[dont_unroll]] for (int kx = 0; kx < KERNEL; kx++) {
                int corner = c * TILE + group * ROWS * TILE_WIDTH + column + kx;
                Quad values[ROWS + KERNEL - 1];
                [[unroll]] for (int r = 0; r < ROWS + KERNEL - 1; r++) {
                    values[r] = quad_at(corner + r * TILE_WIDTH);
                }
                [[unroll]] for (int ky = 0; ky < KERNEL; ky++) {
                    [[unroll]] for (int q = 0; q < 2; q++) {
                        ivec4 w = constants4[weights + (kx * KERNEL + ky) * 2 + q];
                        [[unroll]] for (int p = 0; p < ROWS; p++) {
                            sums[p][q] += products(values[p + ky], w);
                        }
                    }
                }
            }
        }
    }
    int x = left + column;
    if (x >= push.width) {
        return;
    }
    [[unroll]] for (int p = 0; p < ROWS; p++) {
        int y = top + group * ROWS + p;
        [[unroll]] for (int q = 0; q < 2; q++) {
            if (y < push.height && 2 * block + q < OUT_QUADS) {
                finish(sums[p][q], 2 * block + q, y, x);
            }
        }
    }
}
