use super::*;

#[test]
fn what_a_file_promises_and_has_not_is_refused_before_anything_is_built() {
    let line = |more: &str| format!("7767517\n2 2\nInput in 0 1 in\nConvolution c 1 1 in out {more}\n");
    let error = |param: &str, bin: &[u8]| read(param, bin).expect_err("refused").to_string();
    assert!(error(&line("0=4000000 1=9 6=9720000000"), &[0; 64]).contains("ends within the weights of c"));
    assert!(error(&line("0=4 1=3 6=10"), &[0; 64]).contains("does not fit"));
    assert!(error("7767517\n1 1\nConvolution c 9", &[]).contains("none of a layer"));
    assert!(error("7767517", &[]).contains("ends before"));
    assert!(error(&line("0=1 1=1 6=1"), &[0x38, 0x4b, 0x0d, 0]).contains("int8"));
    let mut long = String::from("7767517\n1 1\n");
    long.extend(std::iter::repeat_n("Noop n 0 0\n", MAX_LAYERS + 1));
    assert!(matches!(read(&long, &[]), Err(ImportError::TooLarge { .. })));
}

#[test]
fn weights_are_read_in_every_form() {
    let param = "7767517\n2 2\nInput in 0 1 in\nConvolution c 1 1 in out 0=1 1=1 5=1 6=3 9=2 -23310=1,0.25\n";
    let bias = 0.5f32.to_le_bytes();
    let float: Vec<u8> =
        [0u32.to_le_bytes(), 1f32.to_le_bytes(), 2f32.to_le_bytes(), (-1f32).to_le_bytes(), bias].concat();
    let half: Vec<u8> =
        [&FLOAT16.to_le_bytes()[..], &[0x00, 0x3c, 0x00, 0x40, 0x00, 0xbc, 0, 0], &bias[..]].concat();
    let mut table = vec![0.0f32; 256];
    (table[7], table[8], table[9]) = (1.0, 2.0, -1.0);
    let table: Vec<u8> = table.iter().flat_map(|v| v.to_le_bytes()).collect();
    let table = [&[1, 0, 0, 0][..], &table[..], &[7, 8, 9, 0], &bias[..]].concat();
    for bin in [float, half, table] {
        let net = read(param, &bin).expect("read");
        let named = |role: &str| net.constants.iter().find(|(name, _)| name.ends_with(role)).expect(role).1;
        assert_eq!(named("weight"), &Array::new(vec![1, 3, 1, 1], vec![1.0, 2.0, -1.0], false));
        assert_eq!(named("bias").values, [0.5]);
        assert_eq!(net.inputs[0].dims[1], Some(3));
        assert_eq!(net.layers[1].kind, "LeakyRelu");
        assert_eq!(net.layers[1].float("alpha", 0.0), 0.25);
        assert_eq!(net.outputs, ["out"]);
    }
}
