"""A worker of the comparison, for the engines that Python has: `worker.py ENGINE MODEL WIDTH HEIGHT THREADS`.

Speaks as src/lib.rs says: lines that begin with `@`, one JSON object each."""

import json
import os
import sys
import time


def picture(numpy, width, height):
    """The picture that every engine gets, [1, 3, H, W] of bytes."""
    flat = numpy.arange(width * height * 3, dtype=numpy.int64) * 31 % 251
    return numpy.ascontiguousarray(flat.astype(numpy.uint8).reshape(1, height, width, 3).transpose(0, 3, 1, 2))


def onnxruntime_int8(*args):
    return onnxruntime_f32(*args)


def onnxruntime_f32(path, width, height, threads):
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    image = picture(numpy, width, height)
    if "float" in session.get_inputs()[0].type:
        image = image.astype(numpy.float32) / 255
    return lambda: session.run(None, {"image": image})


def openvino_int8(*args):
    return openvino_f32(*args, precision=None)


def openvino_f32(path, width, height, threads, precision="f32"):
    import numpy
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": "1", "PERFORMANCE_HINT": "LATENCY"}
    if precision:
        settings["INFERENCE_PRECISION_HINT"] = precision
    model = openvino.Core().compile_model(path, "CPU", settings)
    request = model.create_infer_request()
    image = picture(numpy, width, height)
    if model.input(0).element_type == openvino.Type.f32:
        image = image.astype(numpy.float32) / 255
    return lambda: request.infer({0: image}, share_inputs=True, share_outputs=True)


def ncnn_bf16(*args):
    return ncnn_f32(*args, bf16=True)


def ncnn_f32(path, width, height, threads, bf16=False):
    import ncnn
    import numpy

    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_bf16_storage = bf16
    net.load_param(path + ".ncnn.param")
    net.load_model(path + ".ncnn.bin")
    image = ncnn.Mat((picture(numpy, width, height)[0].astype(numpy.float32) / 255).copy())

    def frame():
        with net.create_extractor() as extractor:
            extractor.input("in0", image)
            result, out = extractor.extract("out0")
            assert result == 0
            return out

    return frame


def mnn_int8(*args):
    return mnn_f32(*args)


def mnn_f32(path, width, height, threads):
    import MNN
    import numpy

    interpreter = MNN.Interpreter(path)
    session = interpreter.createSession({"backend": "CPU", "numThread": threads, "precision": "high"})
    target = interpreter.getSessionInput(session)
    shape = (1, 3, height, width)
    image = picture(numpy, width, height).astype(numpy.float32) / 255
    host = MNN.Tensor(shape, MNN.Halide_Type_Float, image, MNN.Tensor_DimensionType_Caffe)

    def frame():
        target.copyFrom(host)
        interpreter.runSession(session)
        out = interpreter.getSessionOutput(session)
        copy = MNN.Tensor(out.getShape(), MNN.Halide_Type_Float,
                          numpy.empty(out.getShape(), numpy.float32), MNN.Tensor_DimensionType_Caffe)
        out.copyToHostTensor(copy)

    return frame


def memory_kb(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key + ":"))


def say(**values):
    print("\n@" + json.dumps(values), flush=True)


def main():
    engine, path, width, height, threads = sys.argv[1:]
    os.environ["OMP_NUM_THREADS"] = threads
    load = globals()[engine]
    # What the interpreter and the library take before any network.
    __import__("numpy")
    __import__({"mnn": "MNN"}.get(engine.split("_")[0], engine.split("_")[0]))
    baseline = memory_kb("VmRSS")
    frame = load(path, int(width), int(height), int(threads))
    start = time.perf_counter()
    frame()
    first = (time.perf_counter() - start) * 1e3
    say(baseline_kb=baseline, loaded_kb=memory_kb("VmRSS"), first_ms=first)
    for line in sys.stdin:
        wall, cpu = [], []
        for _ in range(int(line)):
            start, spent = time.perf_counter(), time.process_time()
            frame()
            wall.append((time.perf_counter() - start) * 1e3)
            cpu.append((time.process_time() - spent) * 1e3)
        say(wall_ms=wall, cpu_ms=cpu, peak_kb=memory_kb("VmHWM"))


main()
