/* SPDX-License-Identifier: MIT */
/*
 * The arguments of SageMaker's control plane, written as aws_shape.h says. Members, limits and values are
 * those of
 * https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Operations_Amazon_SageMaker_Service.html;
 * lists that grow with every release (instance types, images) are left open.
 */
#include "aws_shape.h"

/* clang-format off */
#define TAGS \
    "[{Key!:s128 Value!:s256}]"
#define VPC \
    "{SecurityGroupIds!:[s32] Subnets!:[s32]}"
#define CRITERIA \
    "{MaxCandidates:i1..750 MaxRuntimePerTrainingJobInSeconds:i MaxAutoMLJobRuntimeInSeconds:i}"
#define EXPERIMENT \
    "{ExperimentName:s120 TrialName:s120 TrialComponentDisplayName:s120 RunName:s120}"
#define CONTAINER \
    "{ContainerHostname:name Image:s255 ImageConfig:{RepositoryAccessMode!:(Platform|Vpc) " \
    "RepositoryAuthConfig:{RepositoryCredentialsProviderArn!:s2048}} Mode:(SingleModel|MultiModel) " \
    "ModelDataUrl:s ModelDataSource:{S3DataSource:{S3Uri!:s3 S3DataType!:(S3Prefix|S3Object) " \
    "CompressionType!:(None|Gzip) ModelAccessConfig:{AcceptEula!:b} " \
    "HubAccessConfig:{HubContentArn!:s255} ManifestS3Uri:s ETag:s ManifestEtag:s}} " \
    "AdditionalModelDataSources:[{ChannelName!:s64 S3DataSource!:{S3Uri!:s3 " \
    "S3DataType!:(S3Prefix|S3Object) CompressionType!:(None|Gzip) ModelAccessConfig:{AcceptEula!:b} " \
    "HubAccessConfig:{HubContentArn!:s255} ManifestS3Uri:s ETag:s ManifestEtag:s}}] Environment:m " \
    "ModelPackageName:s176 InferenceSpecificationName:name " \
    "MultiModelConfig:{ModelCacheSetting:(Enabled|Disabled)}}"
#define VARIANTS \
    "[{VariantName!:name ModelName:name InitialInstanceCount:i InstanceType:s " \
    "InstancePools:[{InstanceType!:s ModelNameOverride:name Priority!:i1..5}] " \
    "VariantInstanceProvisionTimeoutInSeconds:i300..3600 InitialVariantWeight:n AcceleratorType:s " \
    "CoreDumpConfig:{DestinationS3Uri!:s3 KmsKeyId:s2048} ServerlessConfig:{MemorySizeInMB!:i1024..6144 " \
    "MaxConcurrency!:i1..200 ProvisionedConcurrency:i1..200} VolumeSizeInGB:i1..512 " \
    "ModelDataDownloadTimeoutInSeconds:i60..3600 ContainerStartupHealthCheckTimeoutInSeconds:i60..3600 " \
    "EnableSSMAccess:b ManagedInstanceScaling:{Status:(ENABLED|DISABLED) MinInstanceCount:i " \
    "MaxInstanceCount:i ScaleInPolicy:{Strategy!:(IDLE_RELEASE|CONSOLIDATION) MaximumStepSize:i1..100 " \
    "CooldownInMinutes:i5..1440}} RoutingConfig:{RoutingStrategy!:(LEAST_OUTSTANDING_REQUESTS|RANDOM)} " \
    "InferenceAmiVersion:s " \
    "CapacityReservationConfig:{CapacityReservationPreference:(capacity-reservations-only) " \
    "MlReservationArn:arn}}]"
#define DEPLOYMENT \
    "{BlueGreenUpdatePolicy:{TrafficRoutingConfiguration!:{Type!:(ALL_AT_ONCE|CANARY|LINEAR) " \
    "WaitIntervalInSeconds!:i0..3600 CanarySize:{Type!:(INSTANCE_COUNT|CAPACITY_PERCENT) Value!:i} " \
    "LinearStepSize:{Type!:(INSTANCE_COUNT|CAPACITY_PERCENT) Value!:i}} " \
    "TerminationWaitInSeconds:i0..3600 MaximumExecutionTimeoutInSeconds:i600..28800} " \
    "RollingUpdatePolicy:{MaximumBatchSize!:{Type!:(INSTANCE_COUNT|CAPACITY_PERCENT) Value!:i} " \
    "WaitIntervalInSeconds!:i0..3600 MaximumExecutionTimeoutInSeconds:i600..28800 " \
    "RollbackMaximumBatchSize:{Type!:(INSTANCE_COUNT|CAPACITY_PERCENT) Value!:i}} " \
    "AutoRollbackConfiguration:{Alarms:[{AlarmName:s255}]}}"
#define RULES \
    "[{RuleConfigurationName!:s256 LocalPath:s4096 S3OutputPath:s3 RuleEvaluatorImage!:s255 " \
    "InstanceType:s VolumeSizeInGB:i RuleParameters:m}]"

const char aws_create_training_job[] =
    "{TrainingJobName!:name HyperParameters:m AlgorithmSpecification:{TrainingImage:s255 "
    "AlgorithmName:s170 TrainingInputMode!:(Pipe|File|FastFile) MetricDefinitions:[{Name!:s255 "
    "Regex!:s500}] EnableSageMakerMetricsTimeSeries:b ContainerEntrypoint:[s256] "
    "ContainerArguments:[s256] TrainingImageConfig:{TrainingRepositoryAccessMode!:(Platform|Vpc) "
    "TrainingRepositoryAuthConfig:{TrainingRepositoryCredentialsProviderArn!:arn}}} RoleArn!:arn "
    "InputDataConfig:[{ChannelName!:s64 "
    "DataSource!:{S3DataSource:{S3DataType!:(ManifestFile|S3Prefix|AugmentedManifestFile|Converse) "
    "S3Uri!:s3 S3DataDistributionType:(FullyReplicated|ShardedByS3Key) AttributeNames:[s256] "
    "InstanceGroupNames:[s64] ModelAccessConfig:{AcceptEula!:b} HubAccessConfig:{HubContentArn!:s255}} "
    "FileSystemDataSource:{FileSystemId!:s21 FileSystemAccessMode!:(rw|ro) "
    "FileSystemType!:(EFS|FSxLustre) DirectoryPath!:s4096} DatasetSource:{DatasetArn!:s2048}} "
    "ContentType:s256 CompressionType:(None|Gzip) RecordWrapperType:(None|RecordIO) "
    "InputMode:(Pipe|File|FastFile) ShuffleConfig:{Seed!:i}}] OutputDataConfig!:{KmsKeyId:s2048 "
    "S3OutputPath!:s3 CompressionType:(GZIP|NONE)} ResourceConfig:{InstanceType:s InstanceCount:i "
    "VolumeSizeInGB:i VolumeKmsKeyId:s2048 KeepAlivePeriodInSeconds:i0..21600 "
    "InstanceGroups:[{InstanceType!:s InstanceCount!:i InstanceGroupName!:s64}] TrainingPlanArn:arn "
    "InstancePlacementConfig:{EnableMultipleJobs:b PlacementSpecifications:[{UltraServerId:s256 "
    "InstanceCount!:i}]}} VpcConfig:"
    VPC
    " StoppingCondition:{MaxRuntimeInSeconds:i MaxWaitTimeInSeconds:i "
    "MaxPendingTimeInSeconds:i7200..2419200} Tags:"
    TAGS
    " EnableNetworkIsolation:b EnableInterContainerTrafficEncryption:b EnableManagedSpotTraining:b "
    "CheckpointConfig:{S3Uri!:s3 LocalPath:s4096} DebugHookConfig:{LocalPath:s4096 S3OutputPath!:s3 "
    "HookParameters:m CollectionConfigurations:[{CollectionName:s256 CollectionParameters:m}]} "
    "DebugRuleConfigurations:"
    RULES
    " TensorBoardOutputConfig:{LocalPath:s4096 S3OutputPath!:s3} ExperimentConfig:"
    EXPERIMENT
    " ProfilerConfig:{S3OutputPath:s3 ProfilingIntervalInMilliseconds:i ProfilingParameters:m "
    "DisableProfiler:b} ProfilerRuleConfigurations:"
    RULES
    " Environment:m RetryStrategy:{MaximumRetryAttempts!:i1..30} RemoteDebugConfig:{EnableRemoteDebug:b} "
    "InfraCheckConfig:{EnableInfraCheck:b} SessionChainingConfig:{EnableSessionTagChaining:b} "
    "ServerlessJobConfig:{BaseModelArn!:s2048 AcceptEula:b JobType!:(FineTuning|Evaluation) "
    "CustomizationTechnique:(SFT|DPO|RLVR|RLAIF) Peft:(LORA) "
    "EvaluationType:(LLMAJEvaluation|CustomScorerEvaluation|BenchmarkEvaluation) EvaluatorArn:s} "
    "MlflowConfig:{MlflowResourceArn!:arn MlflowExperimentName:s256 MlflowRunName:s256} "
    "ModelPackageConfig:{ModelPackageGroupArn!:arn SourceModelPackageArn:arn}}";

const char aws_list_training_jobs[] =
    "{NextToken:s8192 MaxResults:i1..100 CreationTimeAfter:t CreationTimeBefore:t "
    "LastModifiedTimeAfter:t LastModifiedTimeBefore:t NameContains:s63 "
    "StatusEquals:(InProgress|Completed|Failed|Stopping|Stopped|Deleting) "
    "SortBy:(Name|CreationTime|Status) SortOrder:(Ascending|Descending) "
    "WarmPoolStatusEquals:(Available|Terminated|Reused|InUse) TrainingPlanArnEquals:arn}";

const char aws_list_tags[] =
    "{ResourceArn!:arn NextToken:s8192 MaxResults:i}";

const char aws_create_model[] =
    "{ModelName!:name PrimaryContainer:"
    CONTAINER
    " Containers:["
    CONTAINER
    "] InferenceExecutionConfig:{Mode!:(Serial|Direct)} ExecutionRoleArn:arn Tags:"
    TAGS
    " VpcConfig:"
    VPC
    " EnableNetworkIsolation:b}";

const char aws_create_endpoint_config[] =
    "{EndpointConfigName!:name ProductionVariants!:"
    VARIANTS
    " DataCaptureConfig:{EnableCapture:b InitialSamplingPercentage!:i0..100 DestinationS3Uri!:s3 "
    "KmsKeyId:s2048 CaptureOptions!:[{CaptureMode!:(Input|Output|InputAndOutput)}] "
    "CaptureContentTypeHeader:{CsvContentTypes:[s256] JsonContentTypes:[s256]}} Tags:"
    TAGS
    " KmsKeyId:s2048 AsyncInferenceConfig:{ClientConfig:{MaxConcurrentInvocationsPerInstance:i1..1000} "
    "OutputConfig!:{KmsKeyId:s2048 S3OutputPath:s3 NotificationConfig:{SuccessTopic:arn ErrorTopic:arn "
    "IncludeInferenceResponseIn:[(SUCCESS_NOTIFICATION_TOPIC|ERROR_NOTIFICATION_TOPIC)]} "
    "S3FailurePath:s3}} ExplainerConfig:{ClarifyExplainerConfig:{EnableExplanations:s64 "
    "InferenceConfig:{FeaturesAttribute:s64 ContentTemplate:s64 MaxRecordCount:i MaxPayloadInMB:i1..25 "
    "ProbabilityIndex:i LabelIndex:i ProbabilityAttribute:s64 LabelAttribute:s64 LabelHeaders:[s64] "
    "FeatureHeaders:[s64] FeatureTypes:[(numerical|categorical|text)]} "
    "ShapConfig!:{ShapBaselineConfig!:{MimeType:s255 ShapBaseline:s4096 ShapBaselineUri:s} "
    "NumberOfSamples:i UseLogit:b Seed:i TextConfig:{Language!:s "
    "Granularity!:(token|sentence|paragraph)}}}} ShadowProductionVariants:"
    VARIANTS
    " ExecutionRoleArn:arn VpcConfig:"
    VPC
    " EnableNetworkIsolation:b MetricsConfig:{EnableEnhancedMetrics:b MetricPublishFrequencyInSeconds:i}}";

const char aws_create_endpoint[] =
    "{EndpointName!:name EndpointConfigName!:name DeploymentConfig:"
    DEPLOYMENT
    " Tags:"
    TAGS
    "}";

const char aws_update_endpoint[] =
    "{EndpointName!:name EndpointConfigName!:name RetainAllVariantProperties:b "
    "ExcludeRetainedVariantProperties:[{VariantPropertyType!:(DesiredInstanceCount|DesiredWeight|DataCaptureConfig)}] "
    "DeploymentConfig:"
    DEPLOYMENT
    " RetainDeploymentConfig:b}";

const char aws_create_transform_job[] =
    "{TransformJobName!:name ModelName!:name MaxConcurrentTransforms:i "
    "ModelClientConfig:{InvocationsTimeoutInSeconds:i1..3600 InvocationsMaxRetries:i0..3} "
    "MaxPayloadInMB:i BatchStrategy:(MultiRecord|SingleRecord) Environment:m "
    "TransformInput!:{DataSource!:{S3DataSource!:{S3DataType!:(ManifestFile|S3Prefix|AugmentedManifestFile|Converse) "
    "S3Uri!:s3}} ContentType:s256 CompressionType:(None|Gzip) SplitType:(None|Line|RecordIO|TFRecord)} "
    "TransformOutput!:{S3OutputPath!:s3 Accept:s256 AssembleWith:(None|Line) KmsKeyId:s2048} "
    "DataCaptureConfig:{DestinationS3Uri!:s3 KmsKeyId:s2048 GenerateInferenceId:b} "
    "TransformResources!:{InstanceType!:s InstanceCount!:i VolumeKmsKeyId:s2048 TransformAmiVersion:s63} "
    "DataProcessing:{InputFilter:s63 OutputFilter:s63 JoinSource:(Input|None)} Tags:"
    TAGS
    " ExperimentConfig:"
    EXPERIMENT
    "}";

const char aws_create_auto_ml_job_v2[] =
    "{AutoMLJobName!:s32 AutoMLJobInputDataConfig!:[{ChannelType:(training|validation) ContentType:s256 "
    "CompressionType:(None|Gzip) "
    "DataSource:{S3DataSource!:{S3DataType!:(ManifestFile|S3Prefix|AugmentedManifestFile) S3Uri!:s3}}}] "
    "OutputDataConfig!:{KmsKeyId:s2048 S3OutputPath!:s3} "
    "AutoMLProblemTypeConfig!:{ImageClassificationJobConfig:{CompletionCriteria:"
    CRITERIA
    "} TextClassificationJobConfig:{CompletionCriteria:"
    CRITERIA
    " ContentColumn!:s256 TargetLabelColumn!:s256} "
    "TimeSeriesForecastingJobConfig:{FeatureSpecificationS3Uri:s CompletionCriteria:"
    CRITERIA
    " ForecastFrequency!:s5 ForecastHorizon!:i ForecastQuantiles:[s4] Transformations:{Filling:* "
    "Aggregation:m} TimeSeriesConfig!:{TargetAttributeName!:s TimestampAttributeName!:s256 "
    "ItemIdentifierAttributeName!:s256 GroupingAttributeNames:[s256]} HolidayConfig:[{CountryCode:s2}] "
    "CandidateGenerationConfig:{AlgorithmsConfig:[{AutoMLAlgorithms!:[s]}]}} "
    "TabularJobConfig:{CandidateGenerationConfig:{AlgorithmsConfig:[{AutoMLAlgorithms!:[s]}]} "
    "CompletionCriteria:"
    CRITERIA
    " FeatureSpecificationS3Uri:s Mode:(AUTO|ENSEMBLING|HYPERPARAMETER_TUNING) "
    "GenerateCandidateDefinitionsOnly:b "
    "ProblemType:(BinaryClassification|MulticlassClassification|Regression) TargetAttributeName!:s "
    "SampleWeightAttributeName:s256} TextGenerationJobConfig:{CompletionCriteria:"
    CRITERIA
    " BaseModelName:s256 TextGenerationHyperParameters:m ModelAccessConfig:{AcceptEula!:b}}} "
    "RoleArn!:arn Tags:"
    TAGS
    " SecurityConfig:{VolumeKmsKeyId:s2048 EnableInterContainerTrafficEncryption:b VpcConfig:"
    VPC
    "} AutoMLJobObjective:{MetricName!:s} ModelDeployConfig:{AutoGenerateEndpointName:b "
    "EndpointName:name} DataSplitConfig:{ValidationFraction:n} "
    "AutoMLComputeConfig:{EmrServerlessComputeConfig:{ExecutionRoleARN!:arn}}}";
/* clang-format on */
