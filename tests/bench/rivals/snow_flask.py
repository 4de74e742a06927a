# SPDX-License-Identifier: MIT
"""What the Lambda does, in Flask: json.loads, a loop over the rows, json.dumps. For gunicorn: snow_flask:app."""
import json

from flask import Flask, Response, request

app = Flask(__name__)


@app.post("/<path:function>")
def external(function):
    rows = json.loads(request.get_data())["data"]
    return Response(json.dumps({"data": [[row[0], row[1]] for row in rows]}), mimetype="application/json")
