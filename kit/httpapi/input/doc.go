// Package input reads and validates what a request carries: JSON bodies, forms and query
// strings.
//
// It is strict: nothing that a client sends is ignored or reinterpreted. An unknown field,
// a field that occurs twice or in another case, a number that does not fit and text that is
// not UTF-8 are rejected, and the error names the field. Several errors are reported at
// once.
//
// Memory grows with what has arrived, not with what a header announces, and all bodies
// share one bound; see [Memory]. Errors are problems, see package problem.
package input
