// Blocks of unsigned levels with a scale, and with a zero point where they are not symmetric: the weights of ONNX Runtime's
// MatMulNBits. Every instruction set writes the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgellm {

constexpr size_t kLargestIntBlock = 256;

struct IntBlockFormat {
    size_t row_length;
    size_t block_size;  // a multiple of 16 up to kLargestIntBlock
    int bits;           // 4 or 8
    bool symmetric;     // of 8 bits always

    size_t blocks() const { return (row_length + block_size - 1) / block_size; }
    size_t level_bytes() const { return blocks() * block_size * static_cast<size_t>(bits) / 8; }       // of a row
    size_t zero_bytes() const { return symmetric ? 0 : (blocks() * static_cast<size_t>(bits) + 7) / 8; }  // of a row
};

// Quantizes `rows` rows of finite values. Levels of 4 bits lie in pairs, the first one low.
using QuantizeIntBlocks = void (*)(const float *values, size_t rows, const IntBlockFormat &format, uint8_t *levels,
                                   float *scales, uint8_t *zeros);

}  // namespace edgellm
