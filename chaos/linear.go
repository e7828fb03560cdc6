package main

import (
	"encoding/json"
	"math"
	"time"

	"github.com/anishathalye/porcupine"

	"lonja/client"
	"lonja/events"
)

// The kinds of stock operations.
const (
	adjustOp  = "adjust"
	readOp    = "look"
	reserveOp = "reserve"
)

// The outcomes; "" when the outcome is unknown.
const (
	accepted = "granted"
	rejected = "refused"
)

// stockOp is one change or read of the stock by a stock client.
type stockOp struct {
	by         *user
	kind       string
	command    string // the command's id; "" for a read
	delta      int
	outcome    string
	stockLevel stockLevel // in the answer, for reads and accepted adjustments
	call, done int64
}

// stockLevel is the stock of a product in pieces.
type stockLevel struct{ onHand, reserved int }

func (m *stockOp) recordLevel(a answer) {
	var v client.Stock
	if json.Unmarshal(a.body, &v) == nil {
		m.outcome, m.stockLevel = accepted, stockLevel{int(v.OnHand), int(v.Reserved)}
	}
}

// stockModel is the sequential model of the stock: every operation takes effect at
// one moment between its call and its answer.
var stockModel = porcupine.Model{
	Init: func() any { return stockLevel{contendedStock, 0} },
	Step: func(state, input, _ any) (bool, any) {
		s, m := state.(stockLevel), input.(stockOp)
		switch m.kind {
		case readOp:
			return s == m.stockLevel, s
		case adjustOp:
			return s.adjust(m)
		}
		return s.reserve(m)
	},
}

func (s stockLevel) adjust(m stockOp) (bool, any) {
	next := stockLevel{s.onHand + m.delta, s.reserved}
	if next.onHand < s.reserved {
		return m.outcome != accepted, s
	}
	return m.outcome == "" || m.outcome == accepted && next == m.stockLevel, next
}

func (s stockLevel) reserve(m stockOp) (bool, any) {
	next := stockLevel{s.onHand, s.reserved + m.delta}
	if next.reserved > s.onHand {
		return m.outcome != accepted, s
	}
	return m.outcome != rejected, next
}

// keyedOrder is one of several requests with one key.
type keyedRequest struct {
	key, body  string
	status     int
	id         string
	replayed   bool
	call, done int64
}

// keyState is what is recorded under a key.
type keyState struct{ body, id string }

// keyModel is the sequential model of an idempotency key. The first request that
// takes effect creates the order. The same request repeats the answer. Another
// request is rejected.
var keyModel = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range all {
			key := op.Input.(keyedRequest).key
			byKey[key] = append(byKey[key], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return keyState{} },
	Step: func(state, input, _ any) (bool, any) {
		s, o := state.(keyState), input.(keyedRequest)
		switch {
		case s.body == "": // this request creates the order
			return o.status != 422 && !o.replayed, keyState{o.body, o.id}
		case s.body != o.body:
			return o.status != 201, s
		case o.status != 201: // unknown, or given up
			return o.status != 422, s
		case s.id == "": // created by a request without an answer
			return o.replayed, keyState{s.body, o.id}
		}
		return o.replayed && s.id == o.id, s
	},
}

// checkTimeout bounds the search, which is exponential in the worst case.
const checkTimeout = 20 * time.Second

// checkLinearizable searches for an order of the stock clients' operations that
// explains every answer.
func (k *stockClients) checkLinearizable(t *trial) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var stock, keys []porcupine.Operation
	for _, m := range k.stock {
		done := m.done
		if m.outcome == "" {
			if done = math.MaxInt64; !m.resolve(t.log) {
				continue
			}
		}
		stock = append(stock, porcupine.Operation{Input: m, Call: m.call, Return: done})
	}
	for _, o := range k.keys {
		if o.status != 201 && o.status != 422 {
			o.done = math.MaxInt64 // it may take effect at any time
		}
		keys = append(keys, porcupine.Operation{Input: o, Call: o.call, Return: o.done})
	}
	for _, h := range []struct {
		name  string
		model porcupine.Model
		ops   []porcupine.Operation
	}{{"stock", stockModel, stock}, {"keys", keyModel, keys}} {
		switch porcupine.CheckOperationsTimeout(h.model, h.ops, checkTimeout) {
		case porcupine.Ok:
			t.record("%s linearizable in %d operations", h.name, len(h.ops))
		case porcupine.Illegal:
			t.fail("the history of the %s is not linearizable (%d operations)", h.name, len(h.ops))
		default:
			t.record("%s: %d operations are too many to decide", h.name, len(h.ops))
		}
	}
}

// resolve reads the outcome of an unanswered command from the log. It returns false
// when the command had none. When the command took effect stays unknown.
func (m *stockOp) resolve(log *eventLog) bool {
	for _, f := range log.caused[m.command] {
		if e, ok := f.data.(events.StockAdjusted); ok {
			m.outcome, m.stockLevel = accepted, stockLevel{int(e.OnHand), int(e.Reserved)}
		}
		order := f.data.EntityID()
		if len(log.of(order, "stock.reserved")) > 0 {
			m.outcome = accepted
		} else if len(log.of(order, "stock.refused")) > 0 {
			m.outcome = rejected
		}
	}
	return m.outcome != ""
}
