#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A ModelDB 1.0 server in memory. Apache Thrift's compiler makes its skeleton from modeldb_v1.thrift, Apache Thrift's
library for Python (or, with NodeModelDb, for Node.js) reads and writes; what it does is what the Java server of
https://github.com/VertaAI/modeldb v1.0.0 does, down to what looks like mistakes there: getRunsInExperiment asks by the
wrong column, metrics keep 32 bits, lists that are not set end in a NullPointerException, metadata is stored after and
apart from all else (and not with it), filepath and timestamp of a model are swapped, a name that was stored twice can
never be stored again.

    with ModelDb() as db:                             # or NodeModelDb()
        db.fault("storeFitEvent", "lose")              # the next one is done, and its answer is lost
        db.calls()                                     # [["storeProjectEvent", {arguments}], ...] in order
        db.tables()                                    # {"projects": [...], "runs": [...], "models": [...], ...}

Faults (a method's name or "*"): lose (done, then closed), close (not done, closed), cut (done, half of the answer, then
closed), short (an answer that is cut, in a frame that is not), lie, negative (lengths that cannot be), html, sle
(ServerLogicException), run (InvalidExperimentRunException), crash (TApplicationException), mongo (storeFitEvent is done
but for its metadata, then ServerLogicException), hang (done; answers nothing), other (the answer to something else).
chaos(share, seed) makes them by chance. The Node server knows sle, run, crash, mongo and hang."""
import argparse
import json
import logging
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
IDL = os.path.join(HERE, "modeldb_v1.thrift")
CHANCE = ["lose", "close", "cut", "short", "lie", "negative", "html", "sle", "crash", "other"]


def available():
    """None, or what is missing."""
    if not shutil.which("thrift"):
        return "thrift (Debian's thrift-compiler)"
    try:
        import thrift  # noqa: F401
    except ImportError:
        return "python3-thrift"
    return None


def generated(language, folder):
    subprocess.run(["thrift", "--gen", language, "-out", folder, IDL], check=True)
    return folder


_modules = None


def modules():
    """The generated Python code, made once."""
    global _modules
    if not _modules:
        with tempfile.TemporaryDirectory() as d:
            sys.path.insert(0, generated("py", d))
            try:
                from modeldb_wire import ModelDBService, ttypes
            finally:
                sys.path.remove(d)
        _modules = ModelDBService, ttypes
    return _modules


def plain(value):
    """Generated structs as dictionaries."""
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if hasattr(value, "thrift_spec"):
        return {k: plain(v) for k, v in vars(value).items() if v is not None}
    return value


def float32(x):
    try:
        return struct.unpack(">f", struct.pack(">f", x))[0]
    except OverflowError:
        return float("inf") if x > 0 else float("-inf")


class Handler:
    """The methods, as the Java server does them. Every table is a list whose row i has the id i + 1."""

    def __init__(self, db):
        self.db = db
        self.projects, self.experiments, self.runs, self.frames, self.models, self.metrics, self.documents = (
            [] for _ in range(7))

    # ------------------------------------------------------------------------------------------- helpers

    def sle(self, message):
        return self.db.t.ServerLogicException("%s" % message)

    def needed(self, *values):
        if any(v is None for v in values):
            raise self.sle("NullPointerException: null")

    def fetch_one(self, rows):
        if len(rows) > 1:
            raise self.sle("TooManyRowsException: Cursor returned more than one result")
        return rows[0] if rows else None

    def put(self, table, **row):
        row["id"] = len(table) + 1
        table.append(row)
        return row

    def row(self, table, i):
        return table[i - 1] if 0 < i <= len(table) else None

    def found(self, table, i, what):
        row = self.row(table, i)
        if not row:
            raise self.db.t.ResourceNotFoundException("Can't find %s with ID %d" % (what, i))
        return row

    def check_run(self, i):
        if not self.row(self.runs, i):
            raise self.db.t.InvalidExperimentRunException("Can't find experiment run ID %d" % i)

    def default_experiment(self, project):
        return min((e["id"] for e in self.experiments if e["project"] == project), default=-1)

    def keep_frame(self, df, run):
        known = self.row(self.frames, df.id)
        if known:
            return known
        self.needed(df.schema)
        for kv in df.metadata or []:
            if None in (kv.key, kv.value, kv.valueType):
                raise self.sle("DataAccessException: NOT NULL constraint failed: MetadataKV")
        return self.put(self.frames, run=run, tag=df.tag, path=df.filepath, rows=df.numRows,
                        schema=[[c.name, c.type] for c in df.schema],
                        metadata=[[kv.key, kv.value, kv.valueType] for kv in df.metadata or []])

    def frame(self, row, whole=True):
        t = self.db.t
        df = t.DataFrame(row["id"], [t.DataFrameColumn(*c) for c in row["schema"]], row["rows"], row["tag"])
        if whole:
            df.filepath, df.metadata = row["path"], [t.MetadataKV(*kv) for kv in row["metadata"]]
        return df

    def run(self, row):
        return self.db.t.ExperimentRun(row["id"], row["experiment"], row["description"], created=row["created"])

    def experiment(self, row):
        return self.db.t.Experiment(row["id"], row["project"], row["name"], row["description"],
                                    row["id"] == self.default_experiment(row["project"]))

    def project(self, row):
        return self.db.t.Project(row["id"], row["name"], row["author"], row["description"])

    # ------------------------------------------------------------------------------------------- storing

    def testConnection(self):
        return 200

    def storeProjectEvent(self, pr):
        p = pr.project
        row = self.fetch_one([r for r in self.projects if r["name"] == p.name and r["author"] == p.author])
        if row is None:
            self.db.between()  # here another one comes in between
            row = self.put(self.projects, name=p.name, author=p.author, description=p.description)
            self.put(self.experiments, project=row["id"], name="Default_Experiment", description="Default Experiment")
        return self.db.t.ProjectEventResponse(row["id"])

    def storeExperimentEvent(self, er):
        e = er.experiment
        if e.isDefault:
            return self.db.t.ExperimentEventResponse(self.default_experiment(e.projectId))
        row = self.fetch_one([r for r in self.experiments if r["project"] == e.projectId and r["name"] == e.name])
        self.needed(e.name)
        row = row or self.put(self.experiments, project=e.projectId, name=e.name, description=e.description)
        return self.db.t.ExperimentEventResponse(row["id"])

    def storeExperimentRunEvent(self, er):
        e = er.experimentRun
        if not self.row(self.experiments, e.experimentId):
            raise self.sle("DataAccessException: FOREIGN KEY constraint failed")
        row = self.put(self.runs, experiment=e.experimentId, description=e.description, created="2026-01-01 00:00:00.0")
        return self.db.t.ExperimentRunEventResponse(row["id"])

    def storeDataFrame(self, df, experimentRunId):
        self.check_run(experimentRunId)
        return self.keep_frame(df, experimentRunId)["id"]

    def storeFitEvent(self, fe):
        self.check_run(fe.experimentRunId)
        model = self.row(self.models, fe.model.id)
        if not model:
            self.needed(fe.df, fe.spec, fe.spec.hyperparameters, fe.featureColumns, fe.predictionColumns, fe.labelColumns)
            if fe.model.transformerType is None or fe.spec.transformerType is None:
                raise self.sle("DataAccessException: NOT NULL constraint failed: Transformer.transformerType")
            frame = self.keep_frame(fe.df, fe.experimentRunId)
            model = self.put(self.models, run=fe.experimentRunId, frame=frame["id"], type=fe.spec.transformerType,
                             tag=fe.model.tag, parameters=[[h.name, h.value, h.type, float32(h.min), float32(h.max)]
                                                           for h in fe.spec.hyperparameters])  # the path is not kept
        if fe.metadata is not None:
            if self.db.due("mongo"):
                raise self.sle("MongoTimeoutException: Timed out after 30000 ms while waiting for a server")
            try:
                document = json.loads(fe.metadata)
            except ValueError as e:
                raise self.sle("JSONParseException: %s" % e) from None
            if not isinstance(document, dict):
                raise self.sle("ClassCastException: not an object")
            if any("." in k or k.startswith("$") for k in document):
                raise self.sle("IllegalArgumentException: Document field names can't have a . in them")
            self.documents.append({**document, "MODELDB_model_id": model["id"]})
        i = model["id"]
        return self.db.t.FitEventResponse(model["frame"], i, i, i, i)

    def storeMetricEvent(self, me):
        self.check_run(me.experimentRunId)
        frame = self.keep_frame(me.df, me.experimentRunId)
        model = self.row(self.models, me.model.id)
        if not model:
            raise self.sle("a metric for model %d, which is not known, in a test" % me.model.id)
        row = self.put(self.metrics, model=model["id"], frame=frame["id"], name=me.metricType, value=float32(me.metricValue),
                       run=me.experimentRunId)
        return self.db.t.MetricEventResponse(model["id"], frame["id"], row["id"], row["id"])

    # ------------------------------------------------------------------------------------------- reading

    def getDataFrameAncestry(self, dataFrameId):
        row = self.row(self.frames, dataFrameId)
        if not row:
            raise self.db.t.ResourceNotFoundException(
                "Tried finding ancestry for DataFrame %d, but the DataFrame does not exist" % dataFrameId)
        return self.db.t.DataFrameAncestry([self.frame(row, whole=False)])

    def model_response(self, row):
        t, run = self.db.t, self.row(self.runs, row["run"])
        metrics = {}
        for m in self.metrics:
            if m["model"] == row["id"]:
                metrics.setdefault(m["name"], {})[m["frame"]] = m["value"]
        documents = [d for d in self.documents if d["MODELDB_model_id"] == row["id"]]
        spec = t.TransformerSpec(row["id"], row["type"], [t.HyperParameter(*h) for h in row["parameters"]], "")
        return t.ModelResponse(
            row["id"], row["run"], run["experiment"], self.row(self.experiments, run["experiment"])["project"],
            self.frame(self.row(self.frames, row["frame"])), spec, 0, [], [""], [""], metrics, [], None, run["created"], None,
            json.dumps({"_id": {"$oid": "%024x" % row["id"]}, **documents[0]}) if documents else "")

    def getModel(self, modelId):
        return self.model_response(self.found(self.models, modelId, "Transformer"))

    def getProjectIds(self, keyValuePairs):
        return [r["id"] for r in self.projects if all(r.get(k) == v for k, v in keyValuePairs.items())]

    def getModelIds(self, keyValuePairs):
        return [d["MODELDB_model_id"] for d in self.documents if all(d.get(k) == v for k, v in keyValuePairs.items())]

    def updateProject(self, projectId, key, value):
        row = self.row(self.projects, projectId)
        if key not in ("name", "author", "description"):
            raise self.sle("DataAccessException: no such column: PROJECT.%s" % key)
        if row:
            row[key] = value
        return row is not None

    def createOrUpdateScalarField(self, modelId, key, value, valueType):
        casts = {"string": str, "int": int, "double": float, "long": int, "datetime": str, "bool": lambda v: v.lower() == "true"}
        if valueType not in casts:
            raise self.sle("IllegalArgumentException: Unsupported value type: " + valueType)
        try:
            cast = casts[valueType](value)
        except ValueError:
            raise self.sle("NumberFormatException: For input string: \"%s\"" % value) from None
        document = next((d for d in self.documents if d["MODELDB_model_id"] == modelId), None)
        if document is not None:
            document[key] = cast
        return document is not None

    def getRunsInExperiment(self, experimentId):
        ids = [r["id"] for r in self.runs if r["experiment"] == experimentId]
        return [self.run(r) for r in self.runs if r["experiment"] in ids]  # sic

    def getRunsAndExperimentsInProject(self, projId):
        mine = [e for e in self.experiments if e["project"] == projId]
        ids = {e["id"] for e in mine}
        runs = [r for r in self.runs if r["experiment"] in ids]
        used = {r["experiment"] for r in runs}
        return self.db.t.ProjectExperimentsAndRuns(projId, [self.experiment(e) for e in mine if e["id"] in used],
                                                   [self.run(r) for r in runs])

    def getProjectOverviews(self):
        return [self.db.t.ProjectOverviewResponse(self.project(p), 1, 0) for p in self.projects]

    def getExperimentRunDetails(self, experimentRunId):
        run = self.found(self.runs, experimentRunId, "ExperimentRun")
        experiment = self.row(self.experiments, run["experiment"])
        return self.db.t.ExperimentRunDetailsResponse(
            self.project(self.row(self.projects, experiment["project"])), self.experiment(experiment), self.run(run),
            [self.model_response(m) for m in self.models if m["run"] == run["id"]])


class Ledger:
    """Between the generated processor and the handler: order, one at a time, faults."""

    def __init__(self, db):
        self.db = db

    def __getattr__(self, name):
        method = getattr(self.db.handler, name)

        def call(*args):
            db = self.db
            with db.lock:
                names = method.__code__.co_varnames[1:method.__code__.co_argcount]
                db.ledger.append([name, plain(dict(zip(names, args)))])
                fault = db.local.fault
                if fault == "sle":
                    raise db.t.ServerLogicException("DataAccessException: [SQLITE_BUSY] The database file is locked")
                if fault == "run":
                    raise db.t.InvalidExperimentRunException("Can't find experiment run ID 77")
                if fault == "crash":
                    raise RuntimeError("made to crash")
                return method(*args)

        return call


class ModelDb:
    def __init__(self, port=0):
        self.service, self.t = modules()
        self.lock, self.local = threading.RLock(), threading.local()
        self.handler, self.ledger, self.faults, self.frames = Handler(self), [], [], []
        self.connections, self.open, self.peak, self.pause, self.share, self.random = 0, 0, 0, 0, 0, None
        self.hit = []
        logging.getLogger().addHandler(logging.NullHandler())  # the generated code tells of what is made to crash
        self.processor = self.service.Processor(Ledger(self))
        self.socket = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port = self.socket.getsockname()[1]
        self.stopped, self.threads, self.open_sockets = threading.Event(), [], set()
        self.thread = threading.Thread(target=self.accept, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        return self.__enter__()

    def stop(self):
        self.stopped.set()
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        self.drop()

    def drop(self):
        """Every connection ends."""
        with self.lock:
            there = list(self.open_sockets)
        for s in there:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    # ------------------------------------------------------------------------------------------- for tests

    def calls(self):
        with self.lock:
            return [list(c) for c in self.ledger]

    def tables(self):
        h = self.handler
        with self.lock:
            return json.loads(json.dumps({k: getattr(h, k) for k in (
                "projects", "experiments", "runs", "frames", "models", "metrics", "documents")}))

    def forget(self):
        with self.lock:
            self.ledger, self.frames, self.hit = [], [], []

    def fault(self, method, what, times=1, after=0):
        """after: so many of them pass before."""
        with self.lock:
            self.faults.append([method, what, times, after])

    def chaos(self, share, seed=1, kinds=None):
        self.share, self.random, self.kinds = share, random.Random(seed), kinds or CHANCE

    def due(self, what):
        """Inside of a call: is it to fail that way?"""
        return self.local.fault == what

    def between(self):
        """A slow server, in which check and insert are not one step."""
        if self.pause:
            self.lock.release()
            time.sleep(self.pause)
            self.lock.acquire()

    def pick(self, method):
        with self.lock:
            for f in self.faults:
                if f[0] in (method, "*"):
                    if f[3]:
                        f[3] -= 1
                        return None
                    f[2] -= 1
                    if not f[2]:
                        self.faults.remove(f)
                    self.hit.append((method, f[1]))
                    return f[1]
            if self.share and self.random.random() < self.share:
                what = self.random.choice(self.kinds)
                self.hit.append((method, what))
                return what
        return None

    # ------------------------------------------------------------------------------------------- the wire

    def accept(self):
        while not self.stopped.is_set():
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections += 1
                self.open += 1
                self.peak = max(self.peak, self.open)
                self.open_sockets.add(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        from thrift.protocol import TBinaryProtocol
        from thrift.transport import TSocket, TTransport

        trans = TSocket.TSocket()
        trans.setHandle(connection)
        framed = TTransport.TFramedTransport(trans)
        factory = TBinaryProtocol.TBinaryProtocolFactory(strictRead=True, strictWrite=True)
        try:
            while True:
                framed.readFrame()
                raw = framed._TFramedTransport__rbuf.getvalue()
                with self.lock:
                    self.frames.append(raw)
                name, _, _ = factory.getProtocol(TTransport.TMemoryBuffer(raw)).readMessageBegin()
                self.local.method = name
                self.local.fault = self.pick(name)
                if self.local.fault == "close":
                    return
                out = TTransport.TMemoryBuffer()
                framed_out = TTransport.TFramedTransport(out)
                self.processor.process(factory.getProtocol(framed), factory.getProtocol(framed_out))
                if not self.answer(connection, out.getvalue(), self.local.fault):
                    return
        except (TTransport.TTransportException, OSError, ValueError):
            pass  # hung up; or the socket was closed under us
        finally:
            with self.lock:
                self.open -= 1
                self.open_sockets.discard(connection)
            connection.close()

    def answer(self, connection, whole, fault):
        """False: the connection is over."""
        if fault == "lose":
            return False
        if fault == "cut":
            connection.sendall(whole[:4 + (len(whole) - 4) // 2])
            return False
        if fault == "short":
            body = whole[4:4 + (len(whole) - 4) // 2]
            connection.sendall(struct.pack(">i", len(body)) + body)
            return True
        if fault in ("lie", "negative"):
            connection.sendall(struct.pack(">i", 0x7fffffff if fault == "lie" else -5) + whole[4:])
            return True
        if fault == "html":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><body>Sign in</body></html>")
            return False
        if fault == "hang":
            while connection.recv(4096):
                pass
            return False
        if fault == "other":
            whole = whole.replace(b"Event", b"Tneve").replace(b"get", b"teg").replace(b"Field", b"Dleif")
        connection.sendall(whole)
        return True


class NodeModelDb:
    """The same in Node.js, of npm's thrift; a process of its own, spoken to over a second port."""

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        generated("js:node", self.folder)
        env = {**os.environ, "NODE_PATH": os.path.join(HERE, "node_modules")}
        self.process = subprocess.Popen(["node", os.path.join(HERE, "modeldb_v1.cjs"), self.folder], env=env,
                                        stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().split()
        if len(line) != 2:
            self.stop()
            raise RuntimeError("modeldb_v1.cjs does not start")
        self.port, self.control = int(line[0]), int(line[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        return self

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, path, body=None):
        request = urllib.request.Request("http://127.0.0.1:%d%s" % (self.control, path),
                                         data=None if body is None else json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=20) as r:
            return json.load(r)

    def calls(self):
        return self.ask("/calls")

    def tables(self):
        return self.ask("/tables")

    def forget(self):
        self.ask("/forget", {})

    def fault(self, method, what, times=1, after=0):
        self.ask("/fault", [method, what, times, after])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A ModelDB 1.0 server in memory.")
    parser.add_argument("--port", type=int, default=6543)
    with ModelDb(parser.parse_args().port) as server:
        print("listening on", server.port, flush=True)
        server.thread.join()
