// SPDX-License-Identifier: MIT
// What both C++ gRPC rivals do with a bundle, their Capabilities and their start, so that only the API used
// differs.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include <grpcpp/grpcpp.h>

#include "qlik_sse.grpc.pb.h"

namespace rival
{

inline int FunctionId(const std::multimap<grpc::string_ref, grpc::string_ref> &metadata)
{
    auto it = metadata.find("qlik-functionrequestheader-bin");
    if (it == metadata.end()) return 0;
    qlik::sse::FunctionRequestHeader header;
    if (!header.ParseFromArray(it->second.data(), static_cast<int>(it->second.size()))) return -1;
    return header.functionid();
}

inline void Answer(int function, const qlik::sse::BundledRows &in, qlik::sse::BundledRows *out)
{
    out->mutable_rows()->Reserve(in.rows_size());
    for (const auto &row : in.rows()) {
        auto *to = out->add_rows();
        if (function == 1) {
            double sum = 0;
            for (const auto &dual : row.duals()) sum += dual.numdata();
            to->add_duals()->set_numdata(sum);
            continue;
        }
        for (const auto &dual : row.duals()) {
            auto *cell = to->add_duals();
            cell->set_numdata(dual.numdata());
            std::string *text = cell->mutable_strdata();
            text->assign(dual.strdata());
            if (function == 2) text->push_back('!');
        }
    }
}

inline void Describe(qlik::sse::Capabilities *out)
{
    static const char *const names[] = {"Echo", "Sum", "Suffix"};
    out->set_pluginidentifier("C++ rival");
    out->set_pluginversion("1");
    for (int id = 0; id < 3; id++) {
        auto *f = out->add_functions();
        f->set_name(names[id]);
        f->set_functionid(id);
        f->set_functiontype(qlik::sse::TENSOR);
        f->set_returntype(id == 1 ? qlik::sse::NUMERIC : qlik::sse::STRING);
        auto *param = f->add_params();
        param->set_name("a");
        param->set_datatype(id == 1 ? qlik::sse::NUMERIC : qlik::sse::STRING);
    }
}

inline int Serve(grpc::ServerBuilder *builder, grpc::Service *service)
{
    int port = 0;
    builder->AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder->RegisterService(service);
    std::unique_ptr<grpc::Server> server = builder->BuildAndStart();
    if (!server) return 1;
    std::printf("ready sse=127.0.0.1:%d\n", port);
    std::fflush(stdout);
    server->Wait();
    return 0;
}

} // namespace rival
