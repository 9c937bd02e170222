from . import function as function
from . import hessian as hessian
from . import jacobian as jacobian
