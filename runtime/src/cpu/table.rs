//! The one place that chooses kernels: from an instruction set to what a processor runs.

#[cfg(target_arch = "aarch64")]
use crate::cpu::aarch64;
use crate::cpu::isa::Isa;
use crate::cpu::kernels::{Elementwise, Kernels, Vectors};
use crate::cpu::portable;
#[cfg(target_arch = "x86_64")]
use crate::cpu::x86;
use core::ops::Deref;

/// Kernels that this processor can run. Only [`Isa::cpu`] makes one, after it has asked the processor: whoever holds it may
/// call what is in it.
#[derive(Clone, Copy)]
pub(crate) struct Cpu(&'static Kernels);

impl Deref for Cpu {
    type Target = Kernels;

    #[inline(always)]
    fn deref(&self) -> &Kernels {
        self.0
    }
}

impl Isa {
    /// Its kernels, if this processor can run them.
    pub(crate) fn cpu(self) -> Option<Cpu> {
        self.is_available().then(|| {
            Cpu(match self {
                Self::Scalar => &portable::KERNELS,
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => &x86::avx2::KERNELS,
                #[cfg(target_arch = "x86_64")]
                Self::AvxVnni => &x86::avxvnni::KERNELS,
                #[cfg(target_arch = "x86_64")]
                Self::Avx512Vnni if x86::avx512::has_vbmi() => &x86::avx512::WITH_VBMI,
                #[cfg(target_arch = "x86_64")]
                Self::Avx512Vnni => &x86::avx512::KERNELS,
                #[cfg(target_arch = "aarch64")]
                Self::Neon => &aarch64::neon::KERNELS,
                #[cfg(target_arch = "aarch64")]
                Self::NeonDot => &aarch64::dot::KERNELS,
                #[cfg(target_arch = "aarch64")]
                Self::NeonI8mm => &aarch64::i8mm::KERNELS,
                #[cfg(not(target_arch = "x86_64"))]
                Self::Avx2 | Self::AvxVnni | Self::Avx512Vnni => unreachable!("not available here"),
                #[cfg(not(target_arch = "aarch64"))]
                Self::Neon | Self::NeonDot | Self::NeonI8mm => unreachable!("not available here"),
            })
        })
    }

    /// The kernels of the set, or those of the scalar one where this processor cannot run it.
    fn cpu_or_scalar(self) -> Cpu {
        self.cpu().unwrap_or(Cpu(&portable::KERNELS))
    }

    /// Names of its int8 and float convolution kernels, as MR×NR (pixels × output channels), cKT (values of
    /// the depth in one instruction), instruction set.
    pub fn kernels(self) -> [&'static str; 2] {
        let cpu = self.cpu_or_scalar();
        [cpu.i8.geometry.name, cpu.f32.geometry.name]
    }

    /// Keeps the int8 multipliers busy for so many rounds, on registers only, and returns the
    /// multiply-accumulates done: timed, the peak that a convolution can be held against. (The scalar set has no
    /// registers of its own to name; its figure is that of plain Rust.)
    pub fn exercise_i8(self, rounds: u64) -> u64 {
        // SAFETY: a `Cpu` holds what this processor can run.
        unsafe { (self.cpu_or_scalar().peak_i8)(rounds) }
    }
}

impl Cpu {
    /// Runs plain slice code compiled once more for this instruction set, so that it vectorizes.
    #[inline]
    pub fn run<E: Elementwise>(self, code: E) {
        match self.vectors {
            Vectors::Baseline => code.run(),
            // SAFETY: a `Cpu` holds what this processor can run, and so its vectors.
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx2 => unsafe { x86::avx2::run(code) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx512 => unsafe { x86::avx512::run(code) },
        }
    }

    /// `out[i] = table[input[i]]`, as long as both last.
    #[inline]
    pub fn look_up(self, table: &[u8; 256], input: &[u8], out: &mut [u8]) {
        // SAFETY: a `Cpu` holds what this processor can run.
        unsafe { (self.lookup)(table, input, out) }
    }
}
