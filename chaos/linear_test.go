package main

import (
	"testing"

	"github.com/anishathalye/porcupine"
)

func TestStockModel_IsLinearizableOrNot(t *testing.T) {
	add := func(delta, shows int, call, done int64) stockOp {
		return stockOp{kind: adjustOp, delta: delta, outcome: accepted, stockLevel: stockLevel{shows, 0}, call: call, done: done}
	}
	tests := map[string]struct {
		moves []stockOp
		want  bool
	}{
		"one after another":      {[]stockOp{add(1, 31, 1, 2), add(1, 32, 3, 4)}, true},
		"at once, either first":  {[]stockOp{add(1, 32, 1, 4), add(1, 31, 1, 4)}, true},
		"the second was lost":    {[]stockOp{add(1, 31, 1, 2), add(1, 31, 3, 4)}, false},
		"it took effect twice":   {[]stockOp{add(1, 32, 1, 2)}, false},
		"an old read":            {[]stockOp{add(1, 31, 1, 2), {kind: readOp, stockLevel: stockLevel{30, 0}, call: 3, done: 4}}, false},
		"a read meanwhile":       {[]stockOp{add(1, 31, 1, 4), {kind: readOp, stockLevel: stockLevel{30, 0}, call: 2, done: 3}}, true},
		"more than is there":     {[]stockOp{{kind: reserveOp, delta: 31, outcome: accepted, call: 1, done: 2}}, false},
		"refused for no reason":  {[]stockOp{{kind: reserveOp, delta: 30, outcome: rejected, call: 1, done: 2}}, false},
		"refused when none left": {[]stockOp{{kind: reserveOp, delta: 31, outcome: rejected, call: 1, done: 2}}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var ops []porcupine.Operation
			for _, m := range tt.moves {
				ops = append(ops, porcupine.Operation{Input: m, Call: m.call, Return: m.done})
			}
			if got := porcupine.CheckOperations(stockModel, ops); got != tt.want {
				t.Errorf("linearizable: %v, want %v", got, tt.want)
			}
		})
	}
}

func TestKeyModel_IsLinearizableOrNot(t *testing.T) {
	sent := func(body string, status int, id string, replayed bool, call, done int64) keyedRequest {
		return keyedRequest{"key", body, status, id, replayed, call, done}
	}
	tests := map[string]struct {
		sent []keyedRequest
		want bool
	}{
		"repeated":             {[]keyedRequest{sent("a", 201, "1", false, 1, 2), sent("a", 201, "1", true, 3, 4)}, true},
		"two orders":           {[]keyedRequest{sent("a", 201, "1", false, 1, 2), sent("a", 201, "2", false, 3, 4)}, false},
		"another body":         {[]keyedRequest{sent("a", 201, "1", false, 1, 2), sent("b", 422, "", false, 3, 4)}, true},
		"another body, too":    {[]keyedRequest{sent("a", 201, "1", false, 1, 2), sent("b", 201, "1", true, 3, 4)}, false},
		"repeats nothing":      {[]keyedRequest{sent("a", 201, "1", true, 1, 2)}, false},
		"the first in silence": {[]keyedRequest{sent("a", 0, "", false, 1, 9), sent("a", 201, "1", true, 3, 4)}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var ops []porcupine.Operation
			for _, o := range tt.sent {
				ops = append(ops, porcupine.Operation{Input: o, Call: o.call, Return: o.done})
			}
			if got := porcupine.CheckOperations(keyModel, ops); got != tt.want {
				t.Errorf("linearizable: %v, want %v", got, tt.want)
			}
		})
	}
}
