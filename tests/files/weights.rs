//! `.safetensors` files of weights and gradients.

use costate::io::{read_npy2, read_parameters, write_gradient, write_parameters};
use costate::{Activation, Error, Init, Mlp, Parameters};
use ndarray::Array2;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::{Folder, assert_error, fixture, torch_field};

#[test]
fn weights_from_pytorch_give_its_outputs() {
    let field = torch_field();
    let theta = read_parameters(fixture("torch_mlp.safetensors"), &field).unwrap();
    let x = read_npy2(fixture("torch_mlp_x.npy")).unwrap();
    let y = read_npy2(fixture("torch_mlp_y.npy")).unwrap();
    for (x, y) in x.rows().into_iter().zip(y.rows()) {
        let mut v: Vec<f64> = x.iter().map(|&x| x.into()).collect();
        for (l, layer) in field.layers().iter().enumerate() {
            let row = |j: usize| theta.weight(l)[j * layer.n_in..].iter().zip(&v).map(|(w, v)| f64::from(*w) * v);
            let p: Vec<f64> = (0..layer.n_out).map(|j| row(j).sum::<f64>() + f64::from(theta.bias(l)[j])).collect();
            v = if layer.activation == Activation::Tanh { p.iter().map(|p| p.tanh()).collect() } else { p };
        }
        // y was computed in f64 and rounded to f32 on reading; |y| < 2.
        assert!(v.iter().zip(y).all(|(v, y)| (v - f64::from(*y)).abs() < 2e-7), "{v:?} should be {y}");
    }
}

#[test]
fn weights_written_here_are_those_that_pytorch_loaded() {
    let folder = Folder::new();
    let theta = read_parameters(fixture("torch_mlp.safetensors"), &torch_field()).unwrap();
    let path = folder.path("w.safetensors");
    write_parameters(&path, &theta).unwrap();
    assert_eq!(read_parameters(&path, &torch_field()).unwrap(), theta);

    // `costate_mlp.safetensors` was loaded by PyTorch with strict = True; what is written today must equal it.
    let written = std::fs::read(&path).unwrap();
    assert_eq!(
        written,
        std::fs::read(fixture("costate_mlp.safetensors")).unwrap(),
        "run check_loads_in_torch.py again"
    );
    let ours = SafeTensors::deserialize(&written).unwrap();
    let torch = std::fs::read(fixture("torch_mlp.safetensors")).unwrap();
    let torch = SafeTensors::deserialize(&torch).unwrap();
    assert_eq!(ours.len(), torch.len());
    for (name, tensor) in torch.iter() {
        let mine = ours.tensor(name).unwrap();
        assert_eq!(
            (mine.dtype(), mine.shape(), mine.data()),
            (tensor.dtype(), tensor.shape(), tensor.data()),
            "{name}"
        );
    }
}

#[test]
fn a_field_without_hidden_layers_and_one_with_time_come_back() {
    let folder = Folder::new();
    for builder in [Mlp::builder(3), Mlp::builder(1).hidden(&[4], Activation::Relu).time_input(true)] {
        let field = builder.build().unwrap();
        let theta = Parameters::init(&field, Init::Torch, 5).unwrap();
        write_parameters(folder.path("w.safetensors"), &theta).unwrap();
        assert_eq!(read_parameters(folder.path("w.safetensors"), &field).unwrap(), theta);
    }
}

#[test]
fn gradients_are_named_as_the_weights() {
    let folder = Folder::new();
    let field = torch_field();
    let gradient: Vec<f32> = (0..field.parameter_count()).map(|i| i as f32).collect();
    let x0 = Array2::from_shape_fn((2, 7), |(i, j)| (i * 7 + j) as f32 + 0.5);
    let path = folder.path("g.safetensors");
    write_gradient(&path, &field, &gradient, x0.t(), Some(0.25)).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = tensors.names();
    names.sort_unstable();
    let weights = ["net.0.bias", "net.0.weight", "net.2.bias", "net.2.weight", "net.4.bias", "net.4.weight"];
    assert_eq!(names, [&["loss"], &weights[..], &["x0"]].concat());
    let values = |name: &str| -> Vec<f32> {
        let tensor = tensors.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), Dtype::F32, "{name}");
        tensor.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    };
    assert_eq!(values("net.2.weight"), gradient[15..30]);
    assert_eq!(tensors.tensor("x0").unwrap().shape(), [7, 2]);
    assert_eq!(values("x0")[..4], [0.5, 7.5, 1.5, 8.5], "C order, whatever the view had");
    assert_eq!((tensors.tensor("loss").unwrap().shape(), values("loss")), (&[1][..], vec![0.25]));

    write_gradient(&path, &field, &gradient, x0.t(), None).unwrap();
    assert_eq!(SafeTensors::deserialize(&std::fs::read(&path).unwrap()).unwrap().len(), 7, "no loss");
    assert_error(write_gradient(&path, &field, &gradient[1..], x0.t(), None), &["[37]", "[38]"].map(|_| "parameter"));
    assert_error(write_gradient(&path, &field, &gradient, x0.view(), None), &["x0", "[2, 7]", "[batch, 2]"]);
}

/// Serialises tensors given as name, dtype, shape and bytes.
fn tensors(list: &[(&str, Dtype, &[usize], Vec<u8>)]) -> Vec<u8> {
    let views = list.iter().map(|(n, t, s, b)| (*n, TensorView::new(*t, s.to_vec(), b).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn other_float_types_are_converted() {
    let folder = Folder::new();
    let field = Mlp::builder(1).build().unwrap();
    let wide: Vec<u8> = 1.5_f64.to_le_bytes().to_vec();
    // 1.5 in bf16 and in f16.
    for (dtype, one_and_a_half) in [(Dtype::F64, wide), (Dtype::BF16, vec![0xc0, 0x3f]), (Dtype::F16, vec![0x00, 0x3e])]
    {
        let bytes = tensors(&[
            ("net.0.weight", dtype, &[1, 1], one_and_a_half),
            ("net.0.bias", Dtype::F32, &[1], 2.0_f32.to_le_bytes().to_vec()),
        ]);
        let theta = read_parameters(folder.file("w.safetensors", bytes), &field).unwrap();
        assert_eq!(theta.as_slice(), [1.5, 2.0], "{dtype}");
    }
}

#[test]
fn broken_weights_are_named() {
    let folder = Folder::new();
    let field = Mlp::builder(1).build().unwrap();
    let f32s = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let weight = ("net.0.weight", Dtype::F32, &[1, 1][..], f32s(&[1.0]));
    let bias = ("net.0.bias", Dtype::F32, &[1][..], f32s(&[2.0]));
    let read = |list: &[_]| read_parameters(folder.file("w.safetensors", tensors(list)), &field);
    read(&[weight.clone(), bias.clone()]).unwrap();
    assert_error(read(&[]), &["net.0.weight", "[1, 1]", "missing", "none"]);
    assert_error(read(std::slice::from_ref(&weight)), &["net.0.bias", "[1]", "missing", "found: net.0.weight"]);
    let extra = ("net.2.bias", Dtype::F32, &[1][..], f32s(&[2.0]));
    assert_error(read(&[weight.clone(), bias.clone(), extra]), &["net.2.bias", "no place"]);
    let row = ("net.0.weight", Dtype::F32, &[1, 2][..], f32s(&[1.0, 1.0]));
    let error = assert_error(read(&[row, bias.clone()]), &["net.0.weight", "[1, 2]", "[1, 1]"]);
    assert!(matches!(error, Error::Shape { .. }), "{error:?} should be a shape error");
    let int = ("net.0.weight", Dtype::I32, &[1, 1][..], f32s(&[1.0]));
    assert_error(read(&[int, bias.clone()]), &["net.0.weight", "I32", "F32"]);
    let nan = ("net.0.bias", Dtype::F32, &[1][..], f32s(&[f32::NAN]));
    assert_error(read(&[weight.clone(), nan]), &["net.0.bias", "NaN", "[0]"]);
    let big = ("net.0.bias", Dtype::F64, &[1][..], 1e300_f64.to_le_bytes().to_vec());
    assert_error(read(&[weight.clone(), big]), &["net.0.bias", "1e300", "largest f32"]);

    let good = tensors(&[weight, bias]);
    for n in 0..good.len() {
        assert_error(
            read_parameters(folder.file("cut.safetensors", &good[..n]), &field),
            &["cut.safetensors", "truncated"],
        );
    }
    assert_error(read_parameters(folder.file("text.safetensors", b"no weights at all"), &field), &["safetensors"]);
    assert_error(read_parameters(folder.path("none.safetensors"), &field), &["read", "none.safetensors"]);
}
