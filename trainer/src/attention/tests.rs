use super::*;
use crate::seed::{Purpose, Stream};

fn draw<const D: usize>(shape: [usize; D], index: u64, size: f32, device: &Device) -> Tensor<D> {
    let mut stream = Stream::new(6, Purpose::Weights, index);
    let values = (0..shape.iter().product()).map(|_| stream.symmetric(size)).collect::<Vec<f32>>();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_into_vec().expect("f32")
}

fn assert_near(name: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-5 * size.max(1.0), "{name}: {worst} of {size}");
}

/// The operation of the CPU against burn's, output and gradients, with scores small and large.
#[test]
fn one_operation_is_the_many() {
    for (window, [n, d, h, w], size) in [
        (Window { heads: 2, side: 8, shift: 0 }, [2, 6, 16, 8], 1.0),
        (Window { heads: 3, side: 8, shift: 4 }, [1, 10, 16, 24], 1.0),
        (Window { heads: 1, side: 8, shift: 4 }, [1, 5, 8, 8], 6.0),
        (Window { heads: 1, side: 16, shift: 8 }, [1, 3, 32, 16], 3.0),
    ] {
        let device = Device::flex().autodiff();
        let qkv = draw([n, 3 * window.heads * d, h, w], 0, size, &device).require_grad();
        let table = draw([(2 * window.side - 1).pow(2), window.heads], 1, 1.0, &device).require_grad();
        let g = draw([n, window.heads * d, h, w], 2, 1.0, &device);
        let ours = flex::attend(&qkv, &table, window).expect("the CPU has it");
        let theirs = general(qkv.clone(), table.clone(), window);
        assert_near(&format!("{window:?}"), &values(ours.clone()), &values(theirs.clone()));
        let plain = flex::attend(&qkv.clone().inner(), &table.clone().inner(), window).expect("there");
        assert_eq!(values(plain), values(ours.clone()));
        let ours = (ours * g.clone()).sum().backward();
        let theirs = (theirs * g).sum().backward();
        let grad = |x: &Tensor<4>, grads| values(x.grad(grads).expect("a gradient"));
        assert_near(&format!("{window:?} input"), &grad(&qkv, &ours), &grad(&qkv, &theirs));
        let grad = |grads| values(table.grad(grads).expect("a gradient"));
        assert_near(&format!("{window:?} table"), &grad(&ours), &grad(&theirs));
    }
}

#[test]
fn windows_without_whole_vectors_are_left_to_burn() {
    let window = Window { heads: 1, side: 4, shift: 2 };
    let device = Device::flex();
    let (qkv, table) = (draw([1, 9, 8, 8], 0, 1.0, &device), draw([49, 1], 1, 1.0, &device));
    assert!(flex::attend(&qkv, &table, window).is_none());
    assert_eq!(attend(qkv, table, window).dims(), [1, 3, 8, 8]);
}
