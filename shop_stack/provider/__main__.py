"""`python -m shop_stack.provider`: the payment provider's stand-in as a container's only process."""

from multiprocessing import Pipe

from shop_stack.logs import write_json_lines
from shop_stack.provider.app import run_provider
from shop_stack.settings import from_environment

if __name__ == "__main__":
    write_json_lines("provider")
    here, there = Pipe()  # says that it is ready; nobody hears it, whoever keeps containers asks over HTTP
    run_provider(from_environment(), here)
