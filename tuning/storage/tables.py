"""Tables of plain values as Parquet."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def to_parquet(
    rows: Sequence[Mapping[str, Any]], schema: "pa.Schema | None" = None, mark: str = ""
) -> bytes:
    """A Parquet file of the rows; a column for every name that any of them has.

    `schema` fixes the columns and their types, for a table that may have no rows. The file's
    metadata holds `mark`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if schema is None:
        names = dict.fromkeys(name for row in rows for name in row)
        # Arrow looks for columns in the first row alone.
        rows = [{name: row.get(name) for name in names} for row in rows]
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(list(rows), schema=schema)
    pq.write_table(table.replace_schema_metadata({"stamp": mark} if mark else None), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content
