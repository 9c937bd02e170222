from .rank import effective_rank as effective_rank
from .rank import jacobian_rank as jacobian_rank
from .rank import nonzero_coordinates as nonzero_coordinates
from .rank import singular_values as singular_values
from .sparsity import FeatureSparsity as FeatureSparsity
from .sparsity import feature_sparsity as feature_sparsity
from .stabilization import Plateau as Plateau
from .stabilization import plateau as plateau
