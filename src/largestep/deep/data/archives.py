"""Official archives of data sets: where they are found, their checksums, reading without unpacking.

Nothing is written but by a download that was asked for, and nothing is ever unpickled.
"""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from largestep import _files

__all__ = ["Archive"]


@dataclass(frozen=True)
class Archive:
    """A published archive, a .tar.gz or a .zip.

    Attributes
    ----------
    title : the data set's name for people.
    url : where the archive is published; its last part is the file's name.
    size : of the archive in bytes.
    md5 : its checksum.
    root : the folder that it unpacks to, with which the names of all members begin.
    pickled : names under which the same data come as Python pickles, which are not read.
    """

    title: str
    url: str
    size: int
    md5: str
    root: str
    pickled: tuple[str, ...] = ()

    @contextmanager
    def opened(self, folder: Path, *, download: bool) -> Iterator[Callable[[str], bytes]]:
        """Yield a function from the name of a member, without the root, to its content.

        The unpacked folder is taken if it is there, otherwise the archive, after a check of its
        size and checksum.

        Parameters
        ----------
        folder : holds the archive or what it unpacks to.
        download : whether to fetch an archive that is missing.

        Raises
        ------
        FileNotFoundError
            If neither is there and `download` is false; the message says what to get.
        OSError
            If a download fails.
        ValueError
            If the archive is not the published one, or lacks a member.
        """
        unpacked = folder if folder.name == self.root else folder / self.root
        file = folder / self.url.rpartition("/")[2]
        if unpacked.is_dir():
            yield self._reader(unpacked, lambda name: _files.read_bytes(unpacked / name))
            return
        if not file.is_file():
            if not download:
                raise FileNotFoundError(self._missing(folder))
            self._download(file)
        self._verify(file)
        with self._opened(file) as archive:
            if isinstance(archive, zipfile.ZipFile):
                yield self._reader(file, lambda name: archive.read(f"{self.root}/{name}"))
            else:
                yield self._reader(file, lambda name: _member(archive, f"{self.root}/{name}"))

    def _opened(self, file: Path) -> zipfile.ZipFile | tarfile.TarFile:
        try:
            if file.suffix == ".zip":
                return zipfile.ZipFile(file)
            # Whole, as going back in a compressed stream would start it anew.
            return tarfile.open(fileobj=io.BytesIO(gzip.decompress(_files.read_bytes(file))))
        except Exception as error:  # a damaged archive raises nearly anything
            raise ValueError(f"{file} is damaged: {error}. {self._get}") from error

    def _reader(self, place: Path, read: Callable[[str], bytes]) -> Callable[[str], bytes]:
        def checked(name: str) -> bytes:
            try:
                return read(name)
            except (KeyError, FileNotFoundError):
                raise ValueError(f"{place} is incomplete: it has no {name}. {self._get}") from None
            except Exception as error:  # a damaged or crafted archive raises nearly anything
                raise ValueError(
                    f"{name} in {place} cannot be read: {error!r}. {self._get}"
                ) from error

        return checked

    def _verify(self, file: Path) -> None:
        import pooch

        size = file.stat().st_size
        if size != self.size:
            raise ValueError(
                f"{file} has {size} bytes, expected {self.size}: the download was cut short or is "
                f"another file. {self._get}"
            )
        found = pooch.file_hash(str(file), alg="md5")
        if found != self.md5:
            raise ValueError(f"{file} is damaged: it has the MD5 checksum {found}. {self._get}")

    def _download(self, file: Path) -> None:
        import pooch

        _files.prepare_folder(file.parent)
        pooch.retrieve(self.url, f"md5:{self.md5}", fname=file.name, path=file.parent)

    @property
    def _get(self) -> str:
        return f"Get {self.url} ({self.size} bytes, MD5 {self.md5})"

    def _missing(self, folder: Path) -> str:
        found = [name for name in self.pickled if (folder / name).exists()]
        return (
            f"{self.title} is not in {folder}. {self._get}, put it there as it is, or unpacked as "
            f"{self.root}; or name the folder that has it (--data); or let `largestep train` fetch "
            "it (--download)."
        ) + (f" {found[0]} is not read: it holds pickles, which can run any code." if found else "")


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    content = archive.extractfile(name)
    if content is None:
        raise KeyError(name)
    return content.read()
