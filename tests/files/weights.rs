//! `.safetensors` files of weights and gradients.

use costate::io::{
    Standardiser, Tensors, read_npy2, read_parameters, read_weights, write_gradient, write_npy_wide, write_parameters,
    write_weights,
};
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

/// The bytes of a file with this header and so many bytes of data.
fn raw(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn any_prefix_is_read_and_written_again() {
    let folder = Folder::new();
    let field = Mlp::builder(1).hidden(&[2], Activation::Tanh).build().unwrap();
    let values: Vec<f32> = (0..field.parameter_count()).map(|i| i as f32).collect();
    for prefix in ["net.", "", "module.", "_orig_mod.", "func.", "_orig_mod.module.func.net.", "model.field.3."] {
        let path = folder.path("w.safetensors");
        Tensors::with_prefix(prefix).theta(&field, &values).unwrap().write(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let names = ["0.bias", "0.weight", "2.bias", "2.weight"].map(|name| format!("{prefix}{name}"));
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let mut found = tensors.names();
        found.sort_unstable();
        assert_eq!(found, names);
        let weights = read_weights(&path, &field).unwrap();
        assert_eq!((weights.parameters.as_slice(), weights.prefix.as_str()), (&values[..], prefix));
        assert_eq!(weights.scaling, None, "nobody wrote one");
    }
    // Two networks, or something beside the layers, are no field.
    let path = folder.path("two.safetensors");
    let both = Tensors::with_prefix("a.").theta(&field, &values).unwrap();
    both.array("b.0.weight", ndarray::aview1(&[1.0])).write(&path).unwrap();
    assert_error(read_weights(&path, &field), &["several networks", "'a.', 'b.'"]);
    let with_norm = Tensors::with_prefix("a.").theta(&field, &values).unwrap();
    with_norm.array("a.norm.weight", ndarray::aview1(&[1.0])).write(&path).unwrap();
    assert_error(read_weights(&path, &field), &["a.norm.weight", "no place"]);
    let other = Tensors::new().theta(&Mlp::builder(1).build().unwrap(), &[1.0, 2.0]).unwrap();
    other.write(&path).unwrap();
    assert_error(read_weights(&path, &field), &["net.2.weight [1, 2] is missing", "found: net.0.bias, net.0.weight"]);
}

#[test]
fn layers_may_have_no_biases() {
    let folder = Folder::new();
    let with = Mlp::builder(2).hidden(&[3], Activation::Tanh);
    let without = with.clone().bias(false).build().unwrap();
    let with = with.build().unwrap();
    let theta = Parameters::init(&without, Init::Torch, 1).unwrap();
    assert_eq!((theta.as_slice().len(), theta.bias(0), theta.bias(1)), (12, &[][..], &[][..]));
    assert_eq!(theta.weight(1), &theta.as_slice()[6..], "the second layer follows the first");
    let path = folder.path("w.safetensors");
    write_parameters(&path, &theta).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(SafeTensors::deserialize(&bytes).unwrap().len(), 2, "the weights and nothing else");
    assert_eq!(read_parameters(&path, &without).unwrap(), theta);
    assert_error(read_parameters(&path, &with), &["net.0.bias [3] is missing", "bias = false"]);
    write_parameters(&path, &Parameters::init(&with, Init::Torch, 1).unwrap()).unwrap();
    let words = ["net.0.bias has no place", "without biases", "remove [field] bias = false"];
    assert_error(read_parameters(&path, &without), &words);
}

#[test]
fn a_header_that_names_something_twice_is_refused() {
    let folder = Folder::new();
    let field = Mlp::builder(1).build().unwrap();
    let tensor = |name: &str, shape: &str, from: usize| {
        format!(r#""{name}": {{"dtype": "F32", "shape": {shape}, "data_offsets": [{from}, {}]}}"#, from + 4)
    };
    let [weight, bias] = [tensor("net.0.weight", "[1, 1]", 0), tensor("net.0.bias", "[1]", 4)];
    let read = |header: &str, data| read_parameters(folder.file("w.safetensors", raw(header, data)), &field);
    read(&format!("{{{weight}, {bias}}}"), 8).unwrap();
    // The parser would take the last one, whether there is a hole then or not.
    let again = tensor("net.0.bias", "[1]", 8);
    assert_error(read(&format!("{{{weight}, {bias}, {again}}}"), 12), &["ambiguous", "'net.0.bias' twice"]);
    assert_error(read(&format!("{{{weight}, {bias}, {bias}}}"), 8), &["ambiguous", "'net.0.bias' twice"]);
    let shape = bias.replace(r#""shape": [1]"#, r#""shape": [2], "shape": [1]"#);
    assert_error(read(&format!("{{{weight}, {shape}}}"), 8), &["ambiguous", "'shape' twice"]);
    let notes = r#""__metadata__": {"a": "1", "a": "2"}"#;
    assert_error(read(&format!("{{{notes}, {weight}, {bias}}}"), 8), &["ambiguous", "'a' twice"]);
    assert_error(read(&format!("{{{weight}, {bias}"), 8), &["truncated or corrupt"]);
}

#[test]
fn files_of_other_formats_are_recognised() {
    let folder = Folder::new();
    let field = Mlp::builder(1).build().unwrap();
    let python = ["torch.load(", "weights_only=True", "save_file(", "old.safetensors"];
    // What torch.save begins with: today's archive, and the pickle of before 1.6.
    for (name, bytes) in
        [("old.pt", &b"PK\x03\x04\0\0\x08\x08\0\0\0\0old/data.pkl"[..]), ("old.pth", b"\x80\x02}q\x00.")]
    {
        let error = assert_error(read_parameters(folder.file(name, bytes), &field), &python);
        assert!(error.to_string().contains(name), "{error}");
    }
    let zip = folder.file("w.npz", b"PK\x03\x04\0\0\0\0\0\0\0\0net.0.weight.npy");
    assert_error(read_parameters(zip, &field), &["w.npz", "zip archive", "safetensors"]);
    assert_error(read_parameters(folder.file("w.h5", b"\x89HDF\r\n\x1a\n\0\0"), &field), &["w.h5", "HDF5"]);
    assert_error(read_parameters(folder.npy(&ndarray::array![1.0_f32]), &field), &[".npy array"]);
    // A header of 640 bytes begins as a pickle does, and is none.
    let bytes =
        tensors(&[("net.0.weight", Dtype::F32, &[1, 1], f32s(&[1.0])), ("net.0.bias", Dtype::F32, &[1], f32s(&[2.0]))]);
    let mut long = bytes[8..bytes.len() - 8].to_vec();
    long.resize(0x280, b' ');
    let long = [&640_u64.to_le_bytes()[..], &long, &bytes[bytes.len() - 8..]].concat();
    assert_eq!(long[..2], [0x80, 0x02], "the length comes first");
    let theta = read_parameters(folder.file("w.safetensors", long), &field).unwrap();
    let mut values = theta.as_slice().to_vec();
    values.sort_unstable_by(f32::total_cmp);
    assert_eq!(values, [1.0, 2.0]);
}

#[test]
fn the_scaling_travels_in_the_metadata() {
    let folder = Folder::new();
    let field = Mlp::builder(2).build().unwrap();
    let theta = Parameters::init(&field, Init::Torch, 0).unwrap();
    let path = folder.path("w.safetensors");
    for scale in ["none", "standardise", "log_standardise"] {
        let text = format!(r#"{{"scale": "{scale}", "mean": [0.1, 1e7], "deviation": [1.0, 3e-12]}}"#);
        let scaling: Standardiser = serde_json::from_str(&text).unwrap();
        write_weights(&path, &theta, &scaling).unwrap();
        let read = read_weights(&path, &field).unwrap();
        assert_eq!((read.parameters, read.scaling), (theta.clone(), Some(scaling)), "every digit is back");
        // As others find it.
        let bytes = std::fs::read(&path).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let json: serde_json::Value =
            serde_json::from_str(&metadata.metadata().as_ref().unwrap()["costate.scaling"]).unwrap();
        assert_eq!(json, serde_json::json!({"scale": scale, "mean": [0.1, 1e7], "deviation": [1.0, 3e-12]}));
    }
    let one = Mlp::builder(1).build().unwrap();
    let written = |field: &Mlp, note: &str| {
        let data: Vec<(&str, TensorView<'_>)> = Vec::new();
        let notes = [("costate.scaling".to_owned(), note.to_owned())].into();
        let head = safetensors::serialize(data, Some(notes)).unwrap();
        let head = String::from_utf8(head[8..].to_vec()).unwrap();
        let (rows, bytes) = (field.dim(), 4 * field.dim() * field.dim());
        let tensors = format!(
            r#", "net.0.weight": {{"dtype": "F32", "shape": [{rows}, {rows}], "data_offsets": [0, {bytes}]}}, "net.0.bias": {{"dtype": "F32", "shape": [{rows}], "data_offsets": [{bytes}, {}]}}}}"#,
            bytes + 4 * rows
        );
        let head = format!("{}{tensors}", head.trim_end().strip_suffix('}').unwrap());
        read_weights(folder.file("w.safetensors", raw(&head, bytes + 4 * rows)), field)
    };
    written(&one, r#"{"scale": "none", "mean": [0], "deviation": [1]}"#).unwrap();
    for (note, words) in [
        (r#"{"scale": "none", "mean": [0, 0], "deviation": [1, 1]}"#, ["scales 2 components", "needs 1"]),
        (r#"{"scale": "none", "mean": [0], "deviation": [0]}"#, ["costate.scaling", "deviation"]),
        (r#"{"scale": "cubic", "mean": [0], "deviation": [1]}"#, ["cubic", "log_standardise"]),
        ("scaled", ["costate.scaling", "expected value"]),
    ] {
        assert_error(written(&one, note), &words);
    }
}

#[test]
fn arrays_in_the_units_of_the_data_keep_their_digits() {
    let folder = Folder::new();
    let scaling = |text: &str| serde_json::from_str::<Standardiser>(text).unwrap();
    // f32 has steps of 1 at 1e7: rounded first, 0.5 would be lost.
    let offset = scaling(r#"{"scale": "standardise", "mean": [1e7, 0.0], "deviation": [0.5, 2.0]}"#);
    let path = folder.npy(&ndarray::array![[1e7_f64 + 0.5, 3.0], [1e7 - 0.125, -1.0]]);
    let z = offset.read_npy::<ndarray::Ix2>(&path, None).unwrap();
    assert_eq!(z, ndarray::array![[1.0_f32, 1.5], [-0.25, -0.5]]);
    assert_eq!(offset.data_units(z.view()), ndarray::array![[1e7_f64 + 0.5, 3.0], [1e7 - 0.125, -1.0]]);
    assert_eq!(offset.data_slopes(z.view()), ndarray::array![[0.5, 2.0], [0.5, 2.0]]);
    let wide = folder.path("wide.npy");
    write_npy_wide(&wide, offset.data_units(z.view()).view()).unwrap();
    assert_eq!(ndarray_npy::read_npy::<_, Array2<f64>>(&wide).unwrap()[[1, 0]], 1e7 - 0.125);

    let log = scaling(r#"{"scale": "log_standardise", "mean": [1.0, -3.0], "deviation": [0.5, 2.0]}"#);
    let path = folder.npy(&ndarray::array![[(2.0_f64).exp(), 1.0]]);
    let z = log.read_npy::<ndarray::Ix2>(&path, None).unwrap();
    assert_eq!(z, ndarray::array![[2.0_f32, 1.5]]);
    // dx/dz = deviation x.
    let slopes = log.data_slopes(z.view());
    assert!((slopes[[0, 0]] / (0.5 * (2.0_f64).exp()) - 1.0).abs() < 1e-12 && (slopes[[0, 1]] - 2.0).abs() < 1e-12);

    // Gaps need no number; everything else does.
    let mask = ndarray::array![[true, false]];
    let path = folder.npy(&ndarray::array![[1.0, -1.0]]);
    assert_eq!(log.read_npy(&path, Some(mask.view())).unwrap()[[0, 1]], 0.0);
    assert_error(log.read_npy::<ndarray::Ix2>(&path, None), &["component 1", "-1", "logarithm", "array.npy"]);
    let path = folder.npy(&ndarray::array![[1.0, f64::NAN]]);
    assert_eq!(log.read_npy(&path, Some(mask.view())).unwrap()[[0, 1]], 0.0);
    assert_error(log.read_npy::<ndarray::Ix2>(&path, None), &["NaN", "[0, 1]", "array.npy"]);
    assert_error(log.read_npy::<ndarray::Ix3>(&path, None), &["[1, 2]", "3 axes", "2 components"]);
    let path = folder.npy(&ndarray::array![[1.0, 2.0, 3.0]]);
    assert_error(offset.read_npy::<ndarray::Ix2>(&path, None), &["[1, 3]", "2 components"]);
    let path = folder.npy(&ndarray::array![[1.0, 1e300]]);
    assert_error(offset.read_npy::<ndarray::Ix2>(&path, None), &["scaled", "5e299", "largest f32"]);
}
