from .base import Measure as Measure
from .base import Quantity as Quantity
from .base import Subject as Subject
from .errors import Errors as Errors
from .movement import Movement as Movement
from .sharpness import Sharpness as Sharpness
from .sparsity import Sparsity as Sparsity
