//! Bytes through a table of 256 bytes.

use super::Isa;

/// `out[i] = table[input[i]]`, as long as both last. The table's vectors stay in registers where the processor has an
/// instruction for that.
#[inline]
pub(crate) fn lookup(isa: Isa, table: &[u8; 256], input: &[u8], out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512Vnni && isa.is_available() && vbmi::available() {
        // SAFETY: the processor has the instructions.
        unsafe { vbmi::lookup(table, input, out) };
        return;
    }
    let _ = isa;
    plainly(table, input, out);
}

fn plainly(table: &[u8; 256], input: &[u8], out: &mut [u8]) {
    for (out, &b) in out.iter_mut().zip(input) {
        *out = table[usize::from(b)];
    }
}

/// `vpermi2b` looks 64 bytes up in half of the table at once; AVX-512 VBMI, in all processors with VNNI but Cascade Lake and
/// Cooper Lake.
#[cfg(target_arch = "x86_64")]
mod vbmi {
    use core::arch::x86_64::*;

    pub(super) fn available() -> bool {
        #[cfg(feature = "std")]
        {
            std::arch::is_x86_feature_detected!("avx512vbmi")
        }
        #[cfg(not(feature = "std"))]
        {
            cfg!(target_feature = "avx512vbmi")
        }
    }

    /// # Safety
    /// The processor has AVX-512 F, BW and VBMI.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    pub(super) unsafe fn lookup(table: &[u8; 256], input: &[u8], out: &mut [u8]) {
        let n = input.len().min(out.len());
        let (from, to) = (input.as_ptr(), out.as_mut_ptr());
        // SAFETY: four vectors of 64 bytes are the table; of input and output, a whole vector or the bytes up to the end are
        // accessed.
        unsafe {
            let quarter = |i: usize| _mm512_loadu_si512(table.as_ptr().add(64 * i).cast());
            let quarters = [quarter(0), quarter(1), quarter(2), quarter(3)];
            let look = |bytes: __m512i| {
                let low = _mm512_permutex2var_epi8(quarters[0], bytes, quarters[1]);
                let high = _mm512_permutex2var_epi8(quarters[2], bytes, quarters[3]);
                _mm512_mask_blend_epi8(_mm512_movepi8_mask(bytes), low, high)
            };
            let mut at = 0;
            while at + 64 <= n {
                let bytes = _mm512_loadu_si512(from.add(at).cast());
                _mm512_storeu_si512(to.add(at).cast(), look(bytes));
                at += 64;
            }
            if at < n {
                let mask = u64::MAX >> (64 - (n - at));
                let bytes = _mm512_maskz_loadu_epi8(mask, from.add(at).cast());
                _mm512_mask_storeu_epi8(to.add(at).cast(), mask, look(bytes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};

    #[test]
    fn equal_to_plain_rust() {
        let table: [u8; 256] = core::array::from_fn(|i| (i * 167 + 13) as u8);
        for n in [0, 1, 63, 64, 65, 127, 128, 1000] {
            let input: Vec<u8> = (0..n).map(|i| (i * 89 + i / 256) as u8).collect();
            let mut expected = vec![0; n];
            plainly(&table, &input, &mut expected);
            for isa in Isa::available() {
                // One byte more than there is input: it stays.
                let mut out = vec![0x33; n + 1];
                lookup(isa, &table, &input, &mut out);
                assert_eq!((&out[..n], out[n]), (&expected[..], 0x33), "{}, {n} bytes", isa.name());
            }
        }
    }
}
