//! The order of channels in front of a pixel shuffle.

/// Order of the `C·r²` channels on the input edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// PyTorch's `(c, dy, dx)`.
    Torch,
    /// `(dy, dx, c)`: every output row of a pixel is contiguous. A convolution that only feeds this operator
    /// computes its channels in this order.
    Rows,
}

impl Order {
    /// `order[n]` is the PyTorch channel that stands at place `n`.
    pub fn channels(self, upscale: usize, channels: usize) -> alloc::vec::Vec<usize> {
        let r = upscale;
        (0..channels * r * r)
            .map(|n| match self {
                Self::Torch => n,
                Self::Rows => (n % channels) * r * r + n / channels,
            })
            .collect()
    }
}
