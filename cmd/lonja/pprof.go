package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
)

// profiling serves Go's profiles on a separate address, if one is given.
type profiling struct {
	Pprof string `help:"Address for profiles of this process, such as 127.0.0.1:6060. Do not expose it. Default: none."`
}

func (p profiling) start() error {
	if p.Pprof == "" {
		return nil
	}
	listener, err := listen("--pprof", p.Pprof)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	fmt.Println("pprof    ", "http://"+listener.Addr().String()+"/debug/pprof")
	go func() { slog.Debug("profiles are no longer served", "reason", http.Serve(listener, mux)) }()
	return nil
}
