from .base import run as run
from .processes import process_pool as process_pool
from .threads import stopped as stopped
from .threads import thread_pool as thread_pool
