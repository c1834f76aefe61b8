"""The application for any ASGI server: `uvicorn carryall.asgi:app`, or gunicorn with uvicorn workers.

Under uvicorn, `--http carryall.asgi:http` adds what `carryall serve` has of its own: 104, trailers, timed headers.
Settings come from the environment and `.env`, as with `carryall serve`; secrets that aren't set are generated in the
data folder and not printed.
"""

from carryall.config import check_folders, ensure_secrets, load_settings
from carryall.http.server import protocol
from carryall.wiring import application, build, start_logs

_settings = load_settings()
start_logs(_settings)
check_folders(_settings)
_settings, _ = ensure_secrets(_settings, _settings.data_dir / "secrets")
app = application(build(_settings))
http = protocol(header_s=_settings.header_s)
