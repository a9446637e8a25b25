// Package plan decides what one pass intends to do. It is pure: a Plan is a
// function of what was observed, of the operator's own settings, and of a cookie drawn
// beforehand. Making a Plan touches nothing.
package plan
