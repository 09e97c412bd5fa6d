// Products of a quad with the weights of four output channels, of which each is a word. What the quad is depends on the
// definitions that a module is compiled with: INPUT16 for 16 bits, DOT for the instruction that multiplies and adds four bytes.
#ifdef INPUT16
const int WORDS = 2;
#define Quad ivec4
#else
const int WORDS = 1;
#ifdef DOT
#define Quad int
// OpSDot of words as vectors of four bytes (capabilities DotProductInput4x8BitPacked and DotProduct, packed vector format 0).
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019], id = 4450)
int dot_4x8(int a, int b, spirv_literal int format);
#else
#define Quad ivec4
#endif
#endif

ivec4 products(Quad x, ivec4 weights) {
#if defined(DOT) && !defined(INPUT16)
    return ivec4(dot_4x8(x, weights.x, 0), dot_4x8(x, weights.y, 0), dot_4x8(x, weights.z, 0), dot_4x8(x, weights.w, 0));
#else
    ivec4 result;
    [[unroll]] for (int j = 0; j < 4; j++) {
        ivec4 products = x * bytes_of(weights[j]);
        result[j] = products.x + products.y + products.z + products.w;
    }
    return result;
#endif
}
