//! Instruction sets, and which of them this processor has.

use core::sync::atomic::{AtomicU8, Ordering};

/// Sets that the program said the processor has, one bit each.
static ASSUMED: AtomicU8 = AtomicU8::new(0);

/// Whether the processor has all of these features; without `std`, whether the compilation target promises them.
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
macro_rules! detected {
    ($($feature:tt),+) => {{
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        {
            $(std::arch::is_x86_feature_detected!($feature))&&+
        }
        #[cfg(all(feature = "std", target_arch = "aarch64"))]
        {
            $(std::arch::is_aarch64_feature_detected!($feature))&&+
        }
        #[cfg(not(feature = "std"))]
        {
            cfg!(all($(target_feature = $feature),+))
        }
    }};
}
#[cfg(target_arch = "x86_64")]
pub(crate) use detected;

/// A set of kernels, named after the instructions that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// Plain Rust; every processor.
    Scalar,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX2, FMA and AVX-VNNI: Alder Lake, N100 and later.
    AvxVnni,
    /// x86-64 with AVX-512 F, BW, VL and VNNI.
    Avx512Vnni,
    /// aarch64 baseline: Cortex-A53, A57, A72.
    Neon,
    /// aarch64 with the dot product extension: Cortex-A55, A76, A78AE.
    NeonDot,
    /// aarch64 with the int8 matrix multiplication as well: Cortex-A510, A710, X2, Neoverse V1 and later.
    NeonI8mm,
}

impl Isa {
    /// All sets compiled for this architecture, slowest first.
    pub const COMPILED: &'static [Self] = &[
        Self::Scalar,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(target_arch = "x86_64")]
        Self::AvxVnni,
        #[cfg(target_arch = "x86_64")]
        Self::Avx512Vnni,
        #[cfg(target_arch = "aarch64")]
        Self::Neon,
        #[cfg(target_arch = "aarch64")]
        Self::NeonDot,
        #[cfg(target_arch = "aarch64")]
        Self::NeonI8mm,
    ];

    /// Name for command lines and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avxvnni",
            Self::Avx512Vnni => "avx512vnni",
            Self::Neon => "neon",
            Self::NeonDot => "neon_dot",
            Self::NeonI8mm => "neon_i8mm",
        }
    }

    /// The set with this name, if it was compiled for this architecture.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::COMPILED.iter().copied().find(|isa| isa.name() == name)
    }

    /// Sets that this processor can run, slowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::COMPILED.iter().copied().filter(|isa| isa.is_available())
    }

    /// The fastest set that this processor can run.
    pub fn best() -> Self {
        Self::available().last().unwrap_or(Self::Scalar)
    }

    /// Tells the engine that this processor has the instruction set, where it cannot ask: without the `std` feature, when the
    /// compilation target promises less. From then on the set [is available](Self::is_available).
    ///
    /// # Safety
    /// The processor has all features of the set, and whatever it needs to run them (on bare metal: vector registers that are
    /// switched on). On a processor without them, what a plan does is undefined.
    pub unsafe fn assume_available(self) {
        // Plain loads and stores, for processors without more: of two calls at the same time one may be lost.
        ASSUMED.store(ASSUMED.load(Ordering::Relaxed) | self.bit(), Ordering::Relaxed);
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// Whether this processor can run it. Without the `std` feature only what the compilation target promises counts, and
    /// what was [assumed](Self::assume_available).
    pub fn is_available(self) -> bool {
        self.is_detected()
            || (Self::COMPILED.contains(&self) && ASSUMED.load(Ordering::Relaxed) & self.bit() != 0)
    }

    fn is_detected(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => detected!("avx2", "fma"),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => detected!("avx2", "fma", "avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => detected!("avx512f", "avx512bw", "avx512vl", "avx512vnni", "fma"),
            // NEON belongs to the aarch64 targets that Rust supports.
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot => detected!("dotprod"),
            // The end of a network uses the dot product.
            #[cfg(target_arch = "aarch64")]
            Self::NeonI8mm => detected!("i8mm", "dotprod"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::AvxVnni | Self::Avx512Vnni => false,
            #[cfg(not(target_arch = "aarch64"))]
            Self::Neon | Self::NeonDot | Self::NeonI8mm => false,
        }
    }
}
