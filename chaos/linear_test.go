package main

import (
	"testing"

	"github.com/anishathalye/porcupine"
)

func TestStockIsLinearizableOrIsNot(t *testing.T) {
	add := func(delta, shows int, call, done int64) movedStock {
		return movedStock{kind: adjusted, delta: delta, out: granted, level: level{shows, 0}, call: call, done: done}
	}
	tests := map[string]struct {
		moves []movedStock
		want  bool
	}{
		"one after another":      {[]movedStock{add(1, 31, 1, 2), add(1, 32, 3, 4)}, true},
		"at once, either first":  {[]movedStock{add(1, 32, 1, 4), add(1, 31, 1, 4)}, true},
		"the second was lost":    {[]movedStock{add(1, 31, 1, 2), add(1, 31, 3, 4)}, false},
		"it took effect twice":   {[]movedStock{add(1, 32, 1, 2)}, false},
		"an old read":            {[]movedStock{add(1, 31, 1, 2), {kind: looked, level: level{30, 0}, call: 3, done: 4}}, false},
		"a read meanwhile":       {[]movedStock{add(1, 31, 1, 4), {kind: looked, level: level{30, 0}, call: 2, done: 3}}, true},
		"more than is there":     {[]movedStock{{kind: reserved, delta: 31, out: granted, call: 1, done: 2}}, false},
		"refused for no reason":  {[]movedStock{{kind: reserved, delta: 30, out: refused, call: 1, done: 2}}, false},
		"refused when none left": {[]movedStock{{kind: reserved, delta: 31, out: refused, call: 1, done: 2}}, true},
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

func TestKeysAreLinearizableOrAreNot(t *testing.T) {
	sent := func(body string, status int, id string, replayed bool, call, done int64) keyedOrder {
		return keyedOrder{"key", body, status, id, replayed, call, done}
	}
	tests := map[string]struct {
		sent []keyedOrder
		want bool
	}{
		"repeated":             {[]keyedOrder{sent("a", 201, "1", false, 1, 2), sent("a", 201, "1", true, 3, 4)}, true},
		"two orders":           {[]keyedOrder{sent("a", 201, "1", false, 1, 2), sent("a", 201, "2", false, 3, 4)}, false},
		"another body":         {[]keyedOrder{sent("a", 201, "1", false, 1, 2), sent("b", 422, "", false, 3, 4)}, true},
		"another body, too":    {[]keyedOrder{sent("a", 201, "1", false, 1, 2), sent("b", 201, "1", true, 3, 4)}, false},
		"repeats nothing":      {[]keyedOrder{sent("a", 201, "1", true, 1, 2)}, false},
		"the first in silence": {[]keyedOrder{sent("a", 0, "", false, 1, 9), sent("a", 201, "1", true, 3, 4)}, true},
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
