// SPDX-License-Identifier: MIT
// What ModelDB 1.0 (https://github.com/VertaAI/modeldb, tag v1.0.0) says on its Thrift port, written down in our own
// words: the numbers and types are the wire's. Only what a sync of training jobs touches.
namespace py modeldb_wire

struct Project {
  1: i32 id = -1
  2: string name
  3: string author
  4: string description
}

struct Experiment {
  1: i32 id = -1
  2: i32 projectId
  3: string name
  4: string description
  5: bool isDefault = 0
}

struct ExperimentRun {
  1: i32 id = -1
  2: i32 experimentId
  3: string description
  4: optional string sha
  5: optional string created
}

struct MetadataKV {
  1: string key
  2: string value
  3: string valueType
}

struct DataFrameColumn {
  1: string name
  2: string type
}

struct DataFrame {
  1: i32 id = -1
  2: list<DataFrameColumn> schema
  3: i32 numRows
  4: string tag = ""
  5: optional string filepath
  6: optional list<MetadataKV> metadata
}

struct HyperParameter {
  1: string name
  2: string value
  3: string type
  4: double min
  5: double max
}

struct TransformerSpec {
  1: i32 id = -1
  2: string transformerType
  3: list<HyperParameter> hyperparameters
  4: string tag = ""
}

struct Transformer {
  1: i32 id = -1
  2: string transformerType
  3: string tag = ""
  4: optional string filepath
}

enum ProblemType {
  UNDEFINED = 0
  BINARY_CLASSIFICATION = 1
  MULTICLASS_CLASSIFICATION = 2
  REGRESSION = 3
  CLUSTERING = 4
  RECOMMENDATION = 5
}

struct ProjectEvent { 1: Project project }
struct ProjectEventResponse { 1: i32 projectId }
struct ExperimentEvent { 1: Experiment experiment }
struct ExperimentEventResponse { 1: i32 experimentId }
struct ExperimentRunEvent { 1: ExperimentRun experimentRun }
struct ExperimentRunEventResponse { 1: i32 experimentRunId }

struct FitEvent {
  1: DataFrame df
  2: TransformerSpec spec
  3: Transformer model
  4: list<string> featureColumns
  5: list<string> predictionColumns
  6: list<string> labelColumns
  7: i32 experimentRunId
  8: optional ProblemType problemType = ProblemType.UNDEFINED
  9: optional string metadata
}

struct FitEventResponse {
  1: i32 dfId
  2: i32 specId
  3: i32 modelId
  4: i32 eventId
  5: i32 fitEventId
}

struct MetricEvent {
  1: DataFrame df
  2: Transformer model
  3: string metricType
  4: double metricValue
  5: string labelCol
  6: string predictionCol
  7: i32 experimentRunId
}

struct MetricEventResponse {
  1: i32 modelId
  2: i32 dfId
  3: i32 eventId
  4: i32 metricEventId
}

struct DataFrameAncestry { 1: list<DataFrame> ancestors }

struct ProjectExperimentsAndRuns {
  1: i32 projId
  2: list<Experiment> experiments
  3: list<ExperimentRun> experimentRuns
}

struct ProjectOverviewResponse {
  1: Project project
  2: i32 numExperiments
  3: i32 numExperimentRuns
}

struct ModelResponse {
  1: i32 id
  2: i32 experimentRunId
  3: i32 experimentId
  4: i32 projectId
  5: DataFrame trainingDataFrame
  6: TransformerSpec specification
  7: ProblemType problemType
  8: list<string> featureColumns
  9: list<string> labelColumns
  10: list<string> predictionColumns
  11: map<string, map<i32, double>> metrics
  12: list<string> annotations
  13: string sha
  14: string filepath
  15: string timestamp
  17: optional string metadata
}

struct ExperimentRunDetailsResponse {
  1: Project project
  2: Experiment experiment
  3: ExperimentRun experimentRun
  4: list<ModelResponse> modelResponses
}

exception ResourceNotFoundException { 1: string message }
exception ServerLogicException { 1: string message }
exception InvalidExperimentRunException { 1: string message }

service ModelDBService {
  i32 testConnection()
  i32 storeDataFrame(1: DataFrame df, 2: i32 experimentRunId)
    throws (1: InvalidExperimentRunException ierEx, 2: ServerLogicException svEx)
  FitEventResponse storeFitEvent(1: FitEvent fe)
    throws (1: InvalidExperimentRunException ierEx, 2: ServerLogicException svEx)
  MetricEventResponse storeMetricEvent(1: MetricEvent me)
    throws (1: InvalidExperimentRunException ierEx, 2: ServerLogicException svEx)
  ProjectEventResponse storeProjectEvent(1: ProjectEvent pr) throws (1: ServerLogicException svEx)
  ExperimentEventResponse storeExperimentEvent(1: ExperimentEvent er) throws (1: ServerLogicException svEx)
  ExperimentRunEventResponse storeExperimentRunEvent(1: ExperimentRunEvent er) throws (1: ServerLogicException svEx)
  DataFrameAncestry getDataFrameAncestry(1: i32 dataFrameId)
    throws (1: ResourceNotFoundException rnfEx, 2: ServerLogicException svEx)
  ModelResponse getModel(1: i32 modelId) throws (1: ResourceNotFoundException rnfEx, 2: ServerLogicException svEx)
  list<i32> getProjectIds(1: map<string, string> keyValuePairs) throws (1: ServerLogicException svEx)
  list<i32> getModelIds(1: map<string, string> keyValuePairs) throws (1: ServerLogicException svEx)
  bool updateProject(1: i32 projectId, 2: string key, 3: string value) throws (1: ServerLogicException svEx)
  bool createOrUpdateScalarField(1: i32 modelId, 2: string key, 3: string value, 4: string valueType)
    throws (1: ServerLogicException svEx)
  list<ExperimentRun> getRunsInExperiment(1: i32 experimentId) throws (1: ServerLogicException svEx)
  ProjectExperimentsAndRuns getRunsAndExperimentsInProject(1: i32 projId) throws (1: ServerLogicException svEx)
  list<ProjectOverviewResponse> getProjectOverviews() throws (1: ServerLogicException svEx)
  ExperimentRunDetailsResponse getExperimentRunDetails(1: i32 experimentRunId)
    throws (1: ServerLogicException svEx, 2: ResourceNotFoundException rnfEx)
}
