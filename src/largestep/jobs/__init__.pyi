from .base import run as run
from .dask import DaskExecutor as DaskExecutor
from .dask import cluster as cluster
from .here import Here as Here
from .journal import Journal as Journal
from .processes import process_pool as process_pool
from .threads import stopped as stopped
from .threads import thread_pool as thread_pool
