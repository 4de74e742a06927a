// SPDX-License-Identifier: MIT
// Rival: the C++ gRPC synchronous API, a thread per call, in the shape of the protocol's published C++ example.
#include "cpp_rows.h"

namespace
{

class Connector final : public qlik::sse::Connector::Service
{
    grpc::Status GetCapabilities(grpc::ServerContext *, const qlik::sse::Empty *, qlik::sse::Capabilities *out) override
    {
        rival::Describe(out);
        return grpc::Status::OK;
    }

    grpc::Status ExecuteFunction(
        grpc::ServerContext *context,
        grpc::ServerReaderWriter<qlik::sse::BundledRows, qlik::sse::BundledRows> *stream) override
    {
        const int function = rival::FunctionId(context->client_metadata());
        if (function < 0) return {grpc::StatusCode::INVALID_ARGUMENT, "function header"};
        qlik::sse::BundledRows in, out;
        while (stream->Read(&in)) {
            out.Clear();
            rival::Answer(function, in, &out);
            if (!stream->Write(out)) break;
        }
        return grpc::Status::OK;
    }
};

} // namespace

int main(int argc, char **argv)
{
    Connector service;
    grpc::ServerBuilder builder;
    // One completion queue per core in use; 1 to 4 pollers measured best for one core.
    const int queues = argc > 1 ? std::atoi(argv[1]) : 1;
    builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, queues);
    builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
    builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, argc > 2 ? std::atoi(argv[2]) : 4);
    return rival::Serve(&builder, &service);
}
