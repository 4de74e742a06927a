// SPDX-License-Identifier: MIT
// Rival: the C++ gRPC callback API, the one its documentation recommends for speed. Messages live in the reactor and are
// reused for every bundle of a call, so that their rows and strings are not allocated anew.
#include "cpp_rows.h"

namespace
{

class Reactor final : public grpc::ServerBidiReactor<qlik::sse::BundledRows, qlik::sse::BundledRows>
{
  public:
    explicit Reactor(const grpc::CallbackServerContext &context)
        : function_(rival::FunctionId(context.client_metadata()))
    {
        if (function_ < 0)
            Finish({grpc::StatusCode::INVALID_ARGUMENT, "function header"});
        else
            StartRead(&in_);
    }

    void OnReadDone(bool ok) override
    {
        if (!ok) {
            Finish(grpc::Status::OK);
            return;
        }
        out_.Clear();
        rival::Answer(function_, in_, &out_);
        StartWrite(&out_);
    }

    void OnWriteDone(bool ok) override
    {
        if (ok)
            StartRead(&in_);
        else
            Finish(grpc::Status::CANCELLED);
    }

    void OnDone() override
    {
        delete this;
    }

  private:
    int function_;
    qlik::sse::BundledRows in_, out_;
};

class Connector final : public qlik::sse::Connector::CallbackService
{
    grpc::ServerUnaryReactor *GetCapabilities(grpc::CallbackServerContext *context, const qlik::sse::Empty *,
                                              qlik::sse::Capabilities *out) override
    {
        rival::Describe(out);
        auto *reactor = context->DefaultReactor();
        reactor->Finish(grpc::Status::OK);
        return reactor;
    }

    grpc::ServerBidiReactor<qlik::sse::BundledRows, qlik::sse::BundledRows> *
    ExecuteFunction(grpc::CallbackServerContext *context) override
    {
        return new Reactor(*context);
    }
};

} // namespace

int main()
{
    Connector service;
    grpc::ServerBuilder builder;
    return rival::Serve(&builder, &service);
}
