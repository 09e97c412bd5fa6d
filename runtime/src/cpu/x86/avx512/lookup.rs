//! Bytes through a table of 256 bytes: `vpermi2b` looks 64 bytes up in half of the table at once. It is part of AVX-512
//! VBMI, which all processors with VNNI have but Cascade Lake and Cooper Lake. The table's vectors stay in registers.

use core::arch::x86_64::*;

/// # Safety
/// The processor has AVX-512 F, BW and VBMI.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(crate) unsafe fn look_up(table: &[u8; 256], input: &[u8], out: &mut [u8]) {
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
