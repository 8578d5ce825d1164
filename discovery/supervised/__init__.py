"""Directions from labels: boundaries, gradients of scores, style channels.

Read `boundary` first. Import the methods from `discovery`, which loads each when it is used; this
package imports none, so that listing methods stays fast.
"""
