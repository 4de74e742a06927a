// SPDX-License-Identifier: MIT
// The ModelDB 1.0 server of modeldb_v1.py once more, of npm's thrift. Argument: the folder of the generated code.
// Prints the port of Thrift and that of its control (HTTP: GET /calls, /tables; POST /fault, /forget).
'use strict';
const http = require('http');
const path = require('path');
const thrift = require('thrift');
const t = require(path.join(process.argv[2], 'modeldb_v1_types'));
const service = require(path.join(process.argv[2], 'ModelDBService'));

const tables = { projects: [], experiments: [], runs: [], frames: [], models: [], metrics: [], documents: [] };
let calls = [];
const faults = [];

const row = (table, id) => (id > 0 ? tables[table][id - 1] : undefined);
const put = (table, values) => {
  values.id = tables[table].push(values);
  return values;
};
const sle = (message) => new t.ServerLogicException({ message });
const fetchOne = (rows) => {
  if (rows.length > 1) throw sle('TooManyRowsException: Cursor returned more than one result');
  return rows[0];
};
const needed = (...values) => {
  if (values.some((v) => v === null || v === undefined)) throw sle('NullPointerException: null');
};
const found = (table, id, what) => {
  const r = row(table, id);
  if (!r) throw new t.ResourceNotFoundException({ message: `Can't find ${what} with ID ${id}` });
  return r;
};
const checkRun = (id) => {
  if (!row('runs', id)) throw new t.InvalidExperimentRunException({ message: `Can't find experiment run ID ${id}` });
};
const defaultExperiment = (project) => {
  const ids = tables.experiments.filter((e) => e.project === project).map((e) => e.id);
  return ids.length ? Math.min(...ids) : -1;
};
const keepFrame = (df, run) => {
  const known = row('frames', df.id);
  if (known) return known;
  needed(df.schema);
  return put('frames', {
    run, tag: df.tag, path: df.filepath, rows: df.numRows,
    schema: df.schema.map((c) => [c.name, c.type]),
    metadata: (df.metadata || []).map((kv) => [kv.key, kv.value, kv.valueType]),
  });
};
const frame = (r, whole) => new t.DataFrame({
  id: r.id, numRows: r.rows, tag: r.tag,
  schema: r.schema.map(([name, type]) => new t.DataFrameColumn({ name, type })),
  ...(whole && {
    filepath: r.path,
    metadata: r.metadata.map(([key, value, valueType]) => new t.MetadataKV({ key, value, valueType })),
  }),
});
const runOf = (r) => new t.ExperimentRun({ id: r.id, experimentId: r.experiment, description: r.description, created: r.created });
const projectOf = (p) => new t.Project({ id: p.id, name: p.name, author: p.author, description: p.description });
const experimentOf = (e) => new t.Experiment({
  id: e.id, projectId: e.project, name: e.name, description: e.description, isDefault: e.id === defaultExperiment(e.project),
});
const documentOf = (model) => tables.documents.find((d) => d.MODELDB_model_id === model);
const modelOf = (m) => {
  const run = row('runs', m.run);
  const metrics = {};
  for (const one of tables.metrics.filter((x) => x.model === m.id)) (metrics[one.name] ||= {})[one.frame] = one.value;
  const document = documentOf(m.id);
  return new t.ModelResponse({
    id: m.id, experimentRunId: m.run, experimentId: run.experiment, projectId: row('experiments', run.experiment).project,
    trainingDataFrame: frame(row('frames', m.frame), true),
    specification: new t.TransformerSpec({
      id: m.id, transformerType: m.type, tag: '',
      hyperparameters: m.parameters.map(([name, value, type, min, max]) => new t.HyperParameter({ name, value, type, min, max })),
    }),
    problemType: 0, featureColumns: [], labelColumns: [''], predictionColumns: [''], metrics, annotations: [],
    filepath: run.created, metadata: document ? JSON.stringify({ _id: { $oid: 'abc' }, ...document }) : '',
  });
};
const matches = (r, pairs) => Object.entries(pairs).every(([k, v]) => r[k] === v);

// Arguments as plain objects; `fault` is what was asked for this call.
const methods = {
  testConnection: () => 200,
  storeProjectEvent({ project: p }) {
    let r = fetchOne(tables.projects.filter((x) => x.name === p.name && x.author === p.author));
    if (!r) {
      r = put('projects', { name: p.name, author: p.author, description: p.description });
      put('experiments', { project: r.id, name: 'Default_Experiment', description: 'Default Experiment' });
    }
    return new t.ProjectEventResponse({ projectId: r.id });
  },
  storeExperimentEvent({ experiment: e }) {
    if (e.isDefault) return new t.ExperimentEventResponse({ experimentId: defaultExperiment(e.projectId) });
    needed(e.name);
    const r = fetchOne(tables.experiments.filter((x) => x.project === e.projectId && x.name === e.name)) ||
      put('experiments', { project: e.projectId, name: e.name, description: e.description });
    return new t.ExperimentEventResponse({ experimentId: r.id });
  },
  storeExperimentRunEvent({ experimentRun: e }) {
    if (!row('experiments', e.experimentId)) throw sle('DataAccessException: FOREIGN KEY constraint failed');
    const r = put('runs', { experiment: e.experimentId, description: e.description, created: '2026-01-01 00:00:00.0' });
    return new t.ExperimentRunEventResponse({ experimentRunId: r.id });
  },
  storeDataFrame(df, run) {
    checkRun(run);
    return keepFrame(df, run).id;
  },
  storeFitEvent(fe, fault) {
    checkRun(fe.experimentRunId);
    let model = row('models', fe.model.id);
    if (!model) {
      needed(fe.df, fe.spec, fe.spec.hyperparameters, fe.featureColumns, fe.predictionColumns, fe.labelColumns);
      const df = keepFrame(fe.df, fe.experimentRunId);
      model = put('models', {
        run: fe.experimentRunId, frame: df.id, type: fe.spec.transformerType, tag: fe.model.tag,
        parameters: fe.spec.hyperparameters.map((h) => [h.name, h.value, h.type, Math.fround(h.min), Math.fround(h.max)]),
      });
    }
    if (fe.metadata !== null && fe.metadata !== undefined) {
      if (fault === 'mongo') throw sle('MongoTimeoutException: Timed out after 30000 ms while waiting for a server');
      const document = JSON.parse(fe.metadata);
      if (Object.keys(document).some((k) => k.includes('.') || k.startsWith('$')))
        throw sle("IllegalArgumentException: Document field names can't have a . in them");
      tables.documents.push({ ...document, MODELDB_model_id: model.id });
    }
    return new t.FitEventResponse({
      dfId: model.frame, specId: model.id, modelId: model.id, eventId: model.id, fitEventId: model.id,
    });
  },
  storeMetricEvent(me) {
    checkRun(me.experimentRunId);
    const df = keepFrame(me.df, me.experimentRunId);
    const r = put('metrics', {
      model: me.model.id, frame: df.id, name: me.metricType, value: Math.fround(me.metricValue), run: me.experimentRunId,
    });
    return new t.MetricEventResponse({ modelId: me.model.id, dfId: df.id, eventId: r.id, metricEventId: r.id });
  },
  getDataFrameAncestry(id) {
    return new t.DataFrameAncestry({ ancestors: [frame(found('frames', id, 'DataFrame'), false)] });
  },
  getModel: (id) => modelOf(found('models', id, 'Transformer')),
  getProjectIds: (pairs) => tables.projects.filter((p) => matches(p, pairs)).map((p) => p.id),
  getModelIds: (pairs) => tables.documents.filter((d) => matches(d, pairs)).map((d) => d.MODELDB_model_id),
  updateProject(id, key, value) {
    const p = row('projects', id);
    if (p) p[key] = value;
    return !!p;
  },
  createOrUpdateScalarField(id, key, value, type) {
    const casts = { string: String, int: Number, double: Number, long: Number, datetime: String, bool: (v) => v === 'true' };
    if (!casts[type]) throw sle(`IllegalArgumentException: Unsupported value type: ${type}`);
    const d = documentOf(id);
    if (d) d[key] = casts[type](value);
    return !!d;
  },
  getRunsInExperiment(id) {
    const ids = tables.runs.filter((r) => r.experiment === id).map((r) => r.id);
    return tables.runs.filter((r) => ids.includes(r.experiment)).map(runOf); // sic
  },
  getRunsAndExperimentsInProject(id) {
    const mine = tables.experiments.filter((e) => e.project === id);
    const runs = tables.runs.filter((r) => mine.some((e) => e.id === r.experiment));
    return new t.ProjectExperimentsAndRuns({ projId: id, experiments: mine.map(experimentOf), experimentRuns: runs.map(runOf) });
  },
  getProjectOverviews: () => tables.projects.map((p) => new t.ProjectOverviewResponse({
    project: projectOf(p), numExperiments: 1, numExperimentRuns: 0,
  })),
  getExperimentRunDetails(id) {
    const run = found('runs', id, 'ExperimentRun');
    const experiment = row('experiments', run.experiment);
    return new t.ExperimentRunDetailsResponse({
      project: projectOf(row('projects', experiment.project)), experiment: experimentOf(experiment), experimentRun: runOf(run),
      modelResponses: tables.models.filter((m) => m.run === id).map(modelOf),
    });
  },
};

const due = (name) => {
  const f = faults.find((x) => x[0] === name || x[0] === '*');
  if (!f) return undefined;
  if (f[3]) {
    f[3] -= 1;
    return undefined;
  }
  f[2] -= 1;
  if (!f[2]) faults.splice(faults.indexOf(f), 1);
  return f[1];
};

const handler = {};
for (const [name, method] of Object.entries(methods)) {
  // Six parameters, more than any method has: by their number the generated code tells callbacks from promises.
  handler[name] = (a, b, c, d, e, f) => {
    const given = [a, b, c, d, e, f];
    const args = given.slice(0, given.findIndex((x) => typeof x === 'function'));
    const answer = given[args.length];
    calls.push([name, args]);
    const fault = due(name);
    if (fault === 'hang') return;
    if (fault === 'sle') return void answer(sle('DataAccessException: [SQLITE_BUSY] The database file is locked'));
    if (fault === 'run')
      return void answer(new t.InvalidExperimentRunException({ message: "Can't find experiment run ID 77" }));
    if (fault === 'crash')
      return void answer(new thrift.Thrift.TApplicationException(thrift.Thrift.TApplicationExceptionType.INTERNAL_ERROR, 'made to crash'));
    try {
      answer(null, method(...args, fault));
    } catch (error) {
      answer(error);
    }
  };
}

const server = thrift.createServer(service, handler, { transport: thrift.TFramedTransport, protocol: thrift.TBinaryProtocol });
const control = http.createServer((request, response) => {
  const parts = [];
  request.on('data', (p) => parts.push(p));
  request.on('end', () => {
    const body = parts.length ? JSON.parse(Buffer.concat(parts)) : null;
    if (request.url === '/fault') faults.push(body);
    if (request.url === '/forget') calls = [];
    const text = JSON.stringify(request.url === '/calls' ? calls : request.url === '/tables' ? tables : null);
    response.setHeader('Content-Type', 'application/json');
    response.end(text);
  });
});
server.listen(0, '127.0.0.1', () => {
  control.listen(0, '127.0.0.1', () => console.log(`${server.address().port} ${control.address().port}`));
});
