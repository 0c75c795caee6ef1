"""Splits a GGUF as publishers do, for tests."""

from __future__ import annotations

from pathlib import Path

import gguf

__all__ = ["split_gguf"]


def split_gguf(path: Path, folder: Path, stem: str, count: int) -> list[Path]:
    """``folder/stem-00001-of-0000N.gguf`` and so on: metadata in the first part, the tensors in turn over all."""
    reader = gguf.GGUFReader(path)
    tensors = list(reader.tensors)
    size = -(-len(tensors) // count)
    paths = []
    for number in range(count):
        target = folder / f"{stem}-{number + 1:05d}-of-{count:05d}.gguf"
        writer = gguf.GGUFWriter(target, str(reader.fields["general.architecture"].contents()))
        if number == 0:
            for key, field in reader.fields.items():
                if key.startswith("GGUF.") or key == "general.architecture":
                    continue
                kinds = field.types
                writer.add_key_value(key, field.contents(), kinds[0], sub_type=kinds[-1] if len(kinds) > 1 else None)
        writer.add_key_value("split.no", number, gguf.GGUFValueType.UINT16)
        writer.add_key_value("split.count", count, gguf.GGUFValueType.UINT16)
        writer.add_key_value("split.tensors.count", len(tensors), gguf.GGUFValueType.INT32)
        for tensor in tensors[number * size : (number + 1) * size]:
            shape = list(tensor.data.shape)
            writer.add_tensor(tensor.name, tensor.data, raw_shape=shape, raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        paths.append(target)
    return paths
