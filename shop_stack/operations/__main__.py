"""`python -m shop_stack.operations`: operations as a container's only process."""

from multiprocessing import Pipe

from shop_stack.operations.api import run_operations
from shop_stack.settings import from_environment

if __name__ == "__main__":
    here, there = Pipe()  # says that it is ready; nobody hears it, whoever keeps containers asks over HTTP
    run_operations(from_environment(), here)
