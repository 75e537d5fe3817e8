# SPDX-License-Identifier: MIT
"""What pip calls (PEP 517). It needs a C compiler, the headers of Python, and libsa-c where pkg-config finds it."""
import base64
import hashlib
import os
import pathlib
import shlex
import subprocess
import sysconfig
import tarfile
import tempfile
import tomllib
import zipfile

here = pathlib.Path(__file__).resolve().parent
project = tomllib.loads((here / "pyproject.toml").read_text())["project"]
name = project["name"].replace("-", "_")
# In a checkout the library's; a source distribution has a copy.
version_file = next(file for file in (here / "VERSION", here.parent / "VERSION") if file.exists())
version = version_file.read_text().strip()
metadata = f"""Metadata-Version: 2.1
Name: {project["name"]}
Version: {version}
Summary: {project["description"]}
License: {project["license"]["text"]}
Requires-Python: {project["requires-python"]}
"""


def compiled(folder):
    """The module, in a folder."""
    module = pathlib.Path(folder) / "_simple_allocator.abi3.so"
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libsa-c"], check=True, stdout=subprocess.PIPE, text=True).stdout
    command = shlex.split(os.environ.get("CC", "cc"))
    command += ["-std=c11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", f"-I{sysconfig.get_path('include')}"]
    command += [f'-DSIMPLE_ALLOCATOR_VERSION="{version}"']
    command += shlex.split(os.environ.get("CFLAGS", "")) + [str(source) for source in sorted((here / "src").glob("*.c"))]
    command += shlex.split(flags) + shlex.split(os.environ.get("LDFLAGS", "")) + ["-o", str(module)]
    subprocess.run(command, check=True)
    return module


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    tag = "cp311-abi3-" + sysconfig.get_platform().replace("-", "_").replace(".", "_")
    wheel = f"{name}-{version}-{tag}.whl"
    about = f"{name}-{version}.dist-info"
    with tempfile.TemporaryDirectory() as folder:
        files = {f"simple_allocator/{file.name}": file.read_bytes() for file in here.glob("simple_allocator/*py*")}
        module = compiled(folder)
        files[f"simple_allocator/{module.name}"] = module.read_bytes()
    files[f"{about}/METADATA"] = metadata.encode()
    files[f"{about}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: {name}\nRoot-Is-Purelib: false\nTag: {tag}\n".encode()
    record = []
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in sorted(files.items()):
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{path},sha256={digest},{len(content)}\n")
            archive.writestr(path, content)
        archive.writestr(f"{about}/RECORD", "".join(record) + f"{about}/RECORD,,\n")
    return wheel


def build_sdist(sdist_directory, config_settings=None):
    archive = f"{name}-{version}.tar.gz"
    with tempfile.TemporaryDirectory() as folder, tarfile.open(pathlib.Path(sdist_directory) / archive, "w:gz") as tar:
        (pathlib.Path(folder) / "PKG-INFO").write_text(metadata)
        tar.add(f"{folder}/PKG-INFO", f"{name}-{version}/PKG-INFO")
        tar.add(version_file, f"{name}-{version}/VERSION")
        for pattern in ("pyproject.toml", "build_wheel.py", "src/*.[ch]", "simple_allocator/*py*"):
            for file in sorted(here.glob(pattern)):
                tar.add(file, f"{name}-{version}/{file.relative_to(here)}")
    return archive
