// SPDX-License-Identifier: MIT
// The C++ gRPC library as a client: one channel with the library's own defaults, as an engine has it, THREADS
// calls at a time on it, one after the other, until standard input ends.
//
//     sse_client ADDRESS THREADS FUNCTION_ID
//
// Prints "serving" after the first answer, and at the end a line of JSON: calls that were answered, what
// others ended with (by code), the longest time without an answer in ms, and the text of the last failure.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "qlik_sse.grpc.pb.h"

using Clock = std::chrono::steady_clock;

static std::atomic<bool> stop{false};
static std::mutex lock; // guards what follows
static long answered;
static std::map<int, long> failed;
static Clock::time_point last;
static double longest;
static std::string why;

static void Outcome(const grpc::Status &status, bool same)
{
    const std::lock_guard<std::mutex> hold(lock);
    if (status.ok() && same) {
        const Clock::time_point now = Clock::now();
        const double gap = std::chrono::duration<double, std::milli>(now - last).count();
        if (!answered) {
            std::puts("serving");
            std::fflush(stdout);
        } else if (gap > longest)
            longest = gap;
        last = now;
        answered++;
        return;
    }
    failed[status.ok() ? -1 : status.error_code()]++;
    why = status.ok() ? "another answer" : status.error_message();
}

static void Run(const std::shared_ptr<grpc::Channel> &channel, int me, int function)
{
    const std::unique_ptr<qlik::sse::Connector::Stub> stub = qlik::sse::Connector::NewStub(channel);
    qlik::sse::FunctionRequestHeader header;
    header.set_functionid(function);
    for (int n = 0; !stop; n++) {
        grpc::ClientContext context;
        context.AddMetadata("qlik-functionrequestheader-bin", header.SerializeAsString());
        context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
        const std::string word = "w-" + std::to_string(me) + "-" + std::to_string(n);
        qlik::sse::BundledRows in, out;
        in.add_rows()->add_duals()->set_strdata(word);
        auto stream = stub->ExecuteFunction(&context);
        bool same = stream->Write(in) && stream->WritesDone() && stream->Read(&out);
        same = same && out.rows_size() == 1 && out.rows(0).duals(0).strdata() == word;
        while (stream->Read(&out)) continue;
        const grpc::Status status = stream->Finish();
        Outcome(status, same);
        if (!status.ok()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) return 2;
    const auto channel = grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials());
    std::vector<std::thread> threads;
    for (int i = 0; i < std::atoi(argv[2]); i++) threads.emplace_back(Run, channel, i, std::atoi(argv[3]));
    char c;
    while (read(0, &c, 1) > 0) continue;
    stop = true;
    for (std::thread &t : threads) t.join();
    std::string codes;
    for (const auto &f : failed)
        codes +=
            (codes.empty() ? "\"" : ", \"") + std::to_string(f.first) + "\": " + std::to_string(f.second);
    for (char &x : why)
        if (x == '"' || x == '\\' || static_cast<unsigned char>(x) < ' ') x = '\'';
    std::printf("{\"answered\": %ld, \"failed\": {%s}, \"longest_ms\": %.0f, \"why\": \"%s\"}\n", answered,
                codes.c_str(), longest, why.c_str());
    return 0;
}
