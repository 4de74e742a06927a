// SPDX-License-Identifier: MIT
// A grpc-gateway (github.com/grpc-ecosystem/grpc-gateway, version 1) in front of the gRPC server at the address given.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/grpc-ecosystem/grpc-gateway/runtime"
	"google.golang.org/grpc"

	"modeldb2"
)

func main() {
	mux := runtime.NewServeMux()
	err := modeldb2.RegisterStoreHandlerFromEndpoint(context.Background(), mux, os.Args[1], []grpc.DialOption{grpc.WithInsecure()})
	if err != nil {
		panic(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(listener, mux))
}
