package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"lonja/kit/bus"
	"lonja/kit/service"
)

// probes serves the health and the metrics of this process's services to an
// orchestrator and to Prometheus. It is not for customers. The zero value serves
// nothing.
type probes struct {
	mu       sync.Mutex
	services map[string]*service.Service // nil until the service starts
}

// add adds a service and replaces an earlier one of the same name.
func (p *probes) add(s *service.Service) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.services != nil {
		p.services[s.Name] = s
	}
}

// serve serves on an address until stop is called; "" serves nothing. Names are the
// services that this process will run.
func (p *probes) serve(addr string, names []string) (stop func(), err error) {
	if addr == "" {
		return func() {}, nil
	}
	listener, err := listen("--http", addr)
	if err != nil {
		return nil, err
	}
	p.services = make(map[string]*service.Service, len(names))
	for _, name := range names {
		p.services[name] = nil
	}
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", p.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{Registry: metrics}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { slog.Debug("probes are no longer served", "reason", server.Serve(listener)) }()
	fmt.Println("probes   ", "http://"+listener.Addr().String())
	return func() { _ = server.Close() }, nil
}

// readyz answers 200 when all services of this process are ready, 503 otherwise,
// with the health of each.
func (p *probes) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	p.mu.Lock()
	services := maps.Clone(p.services)
	p.mu.Unlock()
	status, all := http.StatusOK, map[string]bus.Health{}
	for name, s := range services {
		h := bus.Health{Service: name}
		if s != nil {
			h = s.Health(ctx)
		}
		if all[name] = h; !h.Ready {
			status = http.StatusServiceUnavailable
		}
	}
	writeJSON(w, status, all)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
