package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"lonja/kit/bus"
	"lonja/kit/errs"
)

// readyWithin is how long the services have to say how they do.
const readyWithin = time.Second

type liveness struct {
	Status string `json:"status" example:"ok"`
}

func alive(c *call) error { return c.writeJSON(http.StatusOK, liveness{"ok"}) }

// standing says whether this one gateway can serve, whatever the services do. A
// balancer's probe wants this and not readyz: one service that is away must not
// take the shop's front down, which has 202 and 503 for that.
func standing(c *call) error {
	switch {
	case isStopping(c.r.Context()):
		return errs.New(errs.Unavailable, "this gateway is stopping; ask another one")
	case !c.Client.Connected():
		return errs.New(errs.Unavailable, "this gateway is not connected to NATS")
	}
	return c.writeJSON(http.StatusOK, liveness{"ok"})
}

// readiness says whether all services that the shop needs are there.
type readiness struct {
	Ready    bool                   `json:"ready"`
	Store    string                 `json:"store,omitempty" doc:"Why the store behind the log takes no events, where the gateway knows" example:"the disk is full"`
	Services map[string]serviceIsUp `json:"services"`
}

type serviceIsUp struct {
	Status    string   `json:"status" enum:"ready,missing,behind,failed"`
	Log       string   `json:"log,omitempty" doc:"Why the log takes no events"`
	Views     []string `json:"views,omitempty" doc:"Which views are behind or have failed"`
	Consumers []string `json:"consumers,omitempty" doc:"Which reactions' consumers stand still although there is more"`
}

func ready(c *call) error {
	ctx, cancel := context.WithTimeout(c.r.Context(), readyWithin)
	defer cancel()
	found := make([]serviceIsUp, len(c.Services))
	var asking sync.WaitGroup
	for i, name := range c.Services {
		asking.Go(func() { found[i] = judge(c.Client.Health(ctx, name)) })
	}
	asking.Wait()
	all := readiness{Ready: true, Services: map[string]serviceIsUp{}}
	for i, name := range c.Services {
		all.Services[name] = found[i]
		all.Ready = all.Ready && found[i].Status == "ready"
	}
	if c.Store != nil {
		if why := context.Cause(c.Store()); why != nil {
			all.Ready, all.Store = false, why.Error()
		}
	}
	if !all.Ready {
		return c.writeJSON(http.StatusServiceUnavailable, all)
	}
	return c.writeJSON(http.StatusOK, all)
}

// judge makes one word of what a service's replicas say. One that is ready is
// enough.
func judge(replicas []bus.Health) serviceIsUp {
	worst := serviceIsUp{Status: "missing"}
	for _, h := range replicas {
		if h.Ready {
			return serviceIsUp{Status: "ready"}
		}
		worst = serviceIsUp{Status: "behind", Log: h.Log, Consumers: h.Behind}
		if h.Log != "" {
			worst.Status = "failed"
		}
		for _, v := range h.Views {
			if v.Failed != "" {
				worst.Status = "failed"
			}
			// One that nothing is said of is named when nothing else is the reason.
			if v.Failed != "" || len(v.Behind) > 0 || h.Log == "" && len(h.Behind) == 0 {
				worst.Views = append(worst.Views, v.Name)
			}
		}
	}
	return worst
}

func (c *call) writeJSON(status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body)
	return nil
}
