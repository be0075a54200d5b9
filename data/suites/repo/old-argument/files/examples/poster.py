"""What a user wrote."""
from thumbs import fit

print(fit(800, 600, 400))
print(fit(800, 600, max=200))
print(fit(max=100, height=600, width=300))
