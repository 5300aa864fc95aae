"""Plants of other packages, tuned: python-control's transfer functions, and an FMU that is built here and run by FMPy."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import control
import numpy as np
import pytest
from fmpy import simulate_fmu

from policysearch import tune
from policysearch.space import Parameter, Space

SPACE = Space((Parameter("kp", 1.0, 0.1, 20.0), Parameter("ki", 0.1, 0.0, 20.0)))

#: x' = (u − x)/T, in steps of Euler, as a co-simulation FMU of FMI 2.0.
SOURCE = """
#include <stdlib.h>
typedef struct { double x, u, T, t; } Plant;
const char* fmi2GetTypesPlatform() { return "default"; }
const char* fmi2GetVersion() { return "2.0"; }
int fmi2SetDebugLogging(void* c, int on, size_t n, const char* const names[]) { return 0; }
void* fmi2Instantiate(const char* name, int type, const char* guid, const char* where, const void* calls, int seen, int log)
{ Plant* p = calloc(1, sizeof(Plant)); p->T = 0.5; return p; }
void fmi2FreeInstance(void* c) { free(c); }
int fmi2SetupExperiment(void* c, int a, double b, double start, int d, double stop) { return 0; }
int fmi2EnterInitializationMode(void* c) { return 0; }
int fmi2ExitInitializationMode(void* c) { return 0; }
int fmi2Terminate(void* c) { return 0; }
int fmi2Reset(void* c) { ((Plant*)c)->x = 0; return 0; }
int fmi2GetReal(void* c, const unsigned r[], size_t n, double v[])
{ double* p = c; for (size_t i = 0; i < n; i++) v[i] = p[r[i]]; return 0; }
int fmi2SetReal(void* c, const unsigned r[], size_t n, const double v[])
{ double* p = c; for (size_t i = 0; i < n; i++) p[r[i]] = v[i]; return 0; }
int fmi2DoStep(void* c, double now, double h, int last)
{ Plant* p = c; p->x += h * (p->u - p->x) / p->T; return 0; }
"""
#: What FMPy looks up and this plant has not.
ABSENT = [
    "GetInteger",
    "GetBoolean",
    "GetString",
    "SetInteger",
    "SetBoolean",
    "SetString",
    "GetFMUstate",
    "SetFMUstate",
    "FreeFMUstate",
    "SerializedFMUstateSize",
    "SerializeFMUstate",
    "DeSerializeFMUstate",
    "GetDirectionalDerivative",
    "SetRealInputDerivatives",
    "GetRealOutputDerivatives",
    "CancelStep",
    "GetStatus",
    "GetRealStatus",
    "GetIntegerStatus",
    "GetBooleanStatus",
    "GetStringStatus",
]
DESCRIPTION = """<?xml version="1.0" encoding="UTF-8"?>
<fmiModelDescription fmiVersion="2.0" modelName="plant" guid="{1}">
<CoSimulation modelIdentifier="plant" canHandleVariableCommunicationStepSize="true"/>
<ModelVariables>
<ScalarVariable name="x" valueReference="0" causality="output" variability="continuous"><Real/></ScalarVariable>
<ScalarVariable name="u" valueReference="1" causality="input" variability="continuous"><Real start="0"/></ScalarVariable>
<ScalarVariable name="T" valueReference="2" causality="parameter" variability="fixed"><Real start="0.5"/></ScalarVariable>
</ModelVariables>
<ModelStructure><Outputs><Unknown index="1"/></Outputs></ModelStructure>
</fmiModelDescription>
"""


@pytest.fixture(scope="module")
def fmu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    folder = tmp_path_factory.mktemp("fmu")
    stubs = "".join(f"int fmi2{name}(void) {{ return 3; }}\n" for name in ABSENT)
    (folder / "plant.c").write_text(SOURCE + stubs, encoding="utf-8")
    library = folder / "plant.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(folder / "plant.c")], check=True)  # noqa: S607
    with zipfile.ZipFile(folder / "plant.fmu", "w") as archive:
        archive.writestr("modelDescription.xml", DESCRIPTION)
        archive.write(library, "binaries/linux64/plant.so")
    return folder / "plant.fmu"


def test_the_gains_of_a_controller_are_tuned_on_a_transfer_function() -> None:
    s = control.TransferFunction.s
    plant, t = 1 / (0.5 * s**2 + s), np.linspace(0.0, 5.0, 200)

    def error(gains: dict[str, float]) -> float:
        loop = control.feedback((gains["kp"] + gains["ki"] / s) * plant, 1)
        _, y = control.step_response(loop, t)
        return float(np.mean((y - 1.0) ** 2))

    found = [tune(error, SPACE, goal="minimise", rollouts=60, seed=1) for _ in range(2)]
    assert error(found[0].values) < 0.7 * error({"kp": 1.0, "ki": 0.1})
    assert found[0].values == found[1].values


def test_a_parameter_of_an_fmu_is_tuned(fmu: Path) -> None:
    def error(params: dict[str, float]) -> float:
        step = np.array([(0.0, 1.0)], dtype=[("time", float), ("u", float)])
        result = simulate_fmu(
            str(fmu),
            stop_time=2.0,
            step_size=0.05,
            output_interval=0.05,
            input=step,
            start_values={"T": params["T"]},
        )
        return float(np.mean((result["x"] - (1.0 - np.exp(-result["time"] / 0.3))) ** 2))

    space = Space((Parameter("T", 1.0, 0.1, 3.0),))
    found = tune(error, space, goal="minimise", rollouts=80, optimizer="random-search", seed=1)
    assert found.values["T"] == pytest.approx(0.3, abs=0.1)
    assert error(found.values) < 0.1 * error({"T": 1.0})
