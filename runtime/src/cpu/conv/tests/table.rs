//! What the table hands out.

use crate::cpu::isa::Isa;
use alloc::{vec, vec::Vec};

#[test]
fn a_table_of_bytes_is_looked_up_as_in_plain_rust() {
    let table: [u8; 256] = core::array::from_fn(|i| (i * 167 + 13) as u8);
    for n in [0, 1, 63, 64, 65, 127, 128, 1000] {
        let input: Vec<u8> = (0..n).map(|i| (i * 89 + i / 256) as u8).collect();
        let expected: Vec<u8> = input.iter().map(|&b| table[usize::from(b)]).collect();
        for isa in Isa::available() {
            // One byte more than there is input: it stays.
            let mut out = vec![0x33; n + 1];
            isa.cpu().unwrap().look_up(&table, &input, &mut out);
            assert_eq!((&out[..n], out[n]), (&expected[..], 0x33), "{}, {n} bytes", isa.name());
        }
    }
}
